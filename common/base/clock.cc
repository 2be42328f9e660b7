#include "common/base/clock.h"

#include <chrono>

namespace espalier {

absl::Time SteadyClock::Now() const {
  return absl::UnixEpoch() + absl::FromChrono(std::chrono::steady_clock::now().time_since_epoch());
}

}  // namespace espalier
