// Who did what: a line for each call that changes something, and for callers that were refused.
#pragma once

#include <mutex>

#include "absl/time/time.h"
#include "common/base/clock.h"
#include "coordinator/rpc/gate.h"

namespace espalier {

class AccessLog final : public GateObserver {
 public:
  // Calls that need the role submit, at level info, with the token's name and the peer's address.
  void OnAllowed(const char* method, Role role, const std::string& who, const std::string& peer) override;
  // At level warn, at most one line a second; the next one says how many were left out.
  void OnRefused(const char* method, const absl::Status& why, const std::string& peer) override;

 private:
  SteadyClock clock_;
  std::mutex mutex_;
  absl::Time last_refusal_ = absl::InfinitePast();  // guarded by mutex_
  int64_t left_out_ = 0;                            // guarded by mutex_
};

}  // namespace espalier
