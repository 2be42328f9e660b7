// Virtual time: actions in the order of their times, equal times in the order of their making. One thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <utility>

#include "absl/time/time.h"

namespace espalier::simulation {

class EventLoop {
 public:
  absl::Time now() const { return now_; }

  void At(absl::Time at, std::function<void()> action) {
    actions_.emplace(std::make_pair(at < now_ ? now_ : at, ++last_number_), std::move(action));
  }
  void After(absl::Duration delay, std::function<void()> action) { At(now_ + delay, std::move(action)); }

  // Runs the next action; false when there is none at or before `until`, which is then the time.
  bool Step(absl::Time until) {
    if (actions_.empty() || actions_.begin()->first.first > until) {
      now_ = until;
      return false;
    }
    auto node = actions_.extract(actions_.begin());
    now_ = node.key().first;
    ++num_steps_;
    node.mapped()();
    return true;
  }
  int64_t num_steps() const { return num_steps_; }

 private:
  absl::Time now_ = absl::UnixEpoch();
  int64_t last_number_ = 0;
  int64_t num_steps_ = 0;
  std::map<std::pair<absl::Time, int64_t>, std::function<void()>> actions_;
};

// The clock of one process: another zero and another rate than the truth's.
struct LocalClock {
  absl::Time zero = absl::UnixEpoch();  // what it shows at `began`
  absl::Time began = absl::UnixEpoch();
  double rate = 1;

  absl::Time Show(absl::Time truth) const { return zero + (truth - began) * rate; }
  absl::Time Truth(absl::Time shown) const {
    return shown == absl::InfiniteFuture() ? shown : began + (shown - zero) / rate;
  }
};

}  // namespace espalier::simulation
