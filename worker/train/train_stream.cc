#include "worker/train/train_stream.h"

#include <ATen/ops/empty.h>
#include <c10/core/impl/VirtualGuardImpl.h>

namespace espalier {

TrainStream::TrainStream(torch::Device device, const TrainStream* otherwise) {
  if (!device.is_cuda()) return;
  const c10::impl::VirtualGuardImpl guard(device.type());
  const c10::Stream current = guard.getStream(device);
  if (current != guard.getDefaultStream(device)) {
    stream_ = current;
  } else {
    stream_ = otherwise != nullptr ? otherwise->stream_ : guard.getStreamFromGlobalPool(device);
  }
}

TrainStream::Scope::Scope(const std::optional<c10::Stream>& stream) {
  if (!stream.has_value()) return;
  const c10::Stream caller = c10::impl::VirtualGuardImpl(stream->device_type()).getStream(stream->device());
  if (caller != *stream) {
    c10::Event event(stream->device_type());
    event.record(caller);
    event.block(*stream);
  }
  guard_.reset_stream(*stream);
}

void TrainStream::Synchronize() const {
  if (stream_.has_value()) stream_->synchronize();
}

LossLog::LossLog(const TrainStream& stream, int64_t num_steps)
    : stream_(stream),
      host_(torch::empty({num_steps},
                         torch::TensorOptions().dtype(torch::kFloat32).pinned_memory(stream.stream().has_value()))) {}

void LossLog::Record(const torch::Tensor& loss) {
  const int64_t step = recorded_++;
  host_.select(0, step).copy_(loss, /*non_blocking=*/true);
  if (!stream_.stream().has_value()) return;
  c10::Event event(stream_.stream()->device_type());
  event.record(*stream_.stream());
  under_way_.emplace_back(step, std::move(event));
}

void LossLog::WaitForOldSteps(bool all) {
  const size_t allowed = all ? 0 : static_cast<size_t>(kStepsAhead);
  while (under_way_.size() > allowed) {
    under_way_.front().second.synchronize();
    under_way_.pop_front();
  }
}

int64_t LossLog::arrived() {
  while (!under_way_.empty() && under_way_.front().second.query()) under_way_.pop_front();
  return under_way_.empty() ? recorded_ : under_way_.front().first;
}

}  // namespace espalier
