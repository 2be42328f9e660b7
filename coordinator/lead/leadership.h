// One of several coordinators on one database leads. docs/decisions/0003-leadership-by-a-row.md says why it is safe: not
// by these clocks, but because every write checks the epoch in its own transaction. The clocks only make it prompt.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "coordinator/lead/term.h"
#include "coordinator/store/leader_row.h"

namespace espalier {

class Leadership {
 public:
  // Asks until this process leads. Between two questions `wait` is called with how long to wait; it returns false when
  // the process is to stop (nullptr is returned then). `on_leader` hears of each change of who leads ("": nobody) and of
  // the database's absence. An error only for what waiting does not heal (another version's or program's database).
  static absl::StatusOr<std::unique_ptr<Leadership>> StandBy(
      std::unique_ptr<LeaderRow> row, const TermOptions& options, const Clock* clock,
      const std::function<bool(absl::Duration)>& wait,
      const std::function<void(const std::string& address, const absl::Status& database)>& on_leader);
  ~Leadership();  // resigns, unless the term is over

  int64_t epoch() const { return epoch_; }

  // Not OK once this process may not lead any longer: the database said so, or it could not be asked for too long.
  absl::Status Check() const;

 private:
  Leadership(std::unique_ptr<LeaderRow> row, const TermOptions& options, const Clock* clock, int64_t epoch,
             absl::Time asked_at);
  void KeepRenewing();

  const std::unique_ptr<LeaderRow> row_;  // used by the thread alone while it lives
  const TermOptions options_;
  const Clock* const clock_;
  const int64_t epoch_;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  Term term_;               // guarded by mutex_
  absl::Status lost_;       // guarded by mutex_: another one leads
  bool is_ending_ = false;  // guarded by mutex_
  std::thread thread_;
};

}  // namespace espalier
