// Time enters through this interface, so that tests drive it.
#pragma once

#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace espalier {

class Clock {
 public:
  virtual ~Clock() = default;
  // A time that never goes backwards; only differences between two calls mean anything.
  virtual absl::Time Now() const = 0;
};

class SteadyClock final : public Clock {
 public:
  absl::Time Now() const override;
};

}  // namespace espalier
