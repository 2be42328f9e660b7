#include "worker/model/slot_streams.h"

#include <c10/core/impl/VirtualGuardImpl.h>

#include <exception>

namespace espalier {

c10::Stream SlotStreams::Take() {
  const std::lock_guard lock(mutex_);
  if (idle_.empty()) return c10::impl::VirtualGuardImpl(device_.type()).getStreamFromGlobalPool(device_);
  const c10::Stream stream = idle_.back();
  idle_.pop_back();
  return stream;
}

SlotStreams::Use::Use(SlotStreams& streams) : streams_(streams) {
  if (streams_.device_.is_cuda()) guard_.reset_stream(streams_.Take());
}

SlotStreams::Use::~Use() {
  if (!guard_.current_stream().has_value()) return;
  const c10::Stream stream = *guard_.current_stream();
  try {
    stream.synchronize();
  } catch (const std::exception&) {  // a lost device: the next call reports it
  }
  guard_.reset();
  const std::lock_guard lock(streams_.mutex_);
  streams_.idle_.push_back(stream);
}

}  // namespace espalier
