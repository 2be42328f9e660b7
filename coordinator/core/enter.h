// Private to core/*.cc: how every public call of the coordinator runs.
#pragma once

#include "absl/time/clock.h"
#include "coordinator/core/coordinator.h"

namespace espalier {

template <typename Action>
auto Coordinator::Enter(absl::Time now, const Action& action) {
  std::unique_lock lock(mutex_);
  LetTimePass(now);
  auto result = action();
  Settle(now);
  Deliver(lock);
  return result;
}

// Measures a write for the metrics; no decision depends on it.
template <typename Write>
auto Coordinator::Timed(const Write& write) {
  const int64_t begin = absl::GetCurrentTimeNanos();
  auto result = write();
  parts_.observer->OnStoreWrite(absl::Nanoseconds(absl::GetCurrentTimeNanos() - begin));
  return result;
}

}  // namespace espalier
