// A clock that stands still until it is moved.
#pragma once

#include <atomic>
#include <cstdint>

#include "common/base/clock.h"

namespace espalier::testing {

// Any thread may read it meanwhile.
class DrivenClock final : public Clock {
 public:
  absl::Time Now() const override { return absl::UnixEpoch() + absl::Nanoseconds(nanoseconds_.load()); }
  void Pass(absl::Duration duration) { nanoseconds_ += absl::ToInt64Nanoseconds(duration); }

 private:
  std::atomic<int64_t> nanoseconds_ = 3'600'000'000'000;  // not zero, which stands for "never" in places
};

}  // namespace espalier::testing
