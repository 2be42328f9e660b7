#include "worker/engine/device_room.h"

namespace espalier {

DeviceRoom::Hold DeviceRoom::Take(int64_t bytes, const std::vector<Holder>& holders) {
  const std::lock_guard lock(mutex_);
  Hold hold(&promised_, bytes);
  const auto is_short = [&] {
    int64_t held = 0;
    for (const Holder& holder : holders) held += holder.bytes();
    return held > bytes_ - promised_;
  };
  for (const Holder& holder : holders) {
    while (holder.give && is_short() && holder.bytes() > holder.keep && holder.give()) {
    }
  }
  return hold;
}

}  // namespace espalier
