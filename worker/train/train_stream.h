// The trainer's own queue of device work, and how far the host may run ahead of it. On CPU everything is immediate and
// these do nothing.
#pragma once

#include <c10/core/Event.h>
#include <c10/core/Stream.h>
#include <c10/core/StreamGuard.h>
#include <torch/types.h>

#include <cstdint>
#include <deque>
#include <optional>
#include <utility>

namespace espalier {

// The calling thread's stream, so that memory which one trainer frees serves the next one there; `otherwise`, or one from the
// device's pool, when that is the default stream, on which nothing can be captured. Work of a caller that was queued before
// Enter is waited for on the device.
class TrainStream {
 public:
  explicit TrainStream(torch::Device device, const TrainStream* otherwise = nullptr);

  class Scope {
   public:
    explicit Scope(const std::optional<c10::Stream>& stream);

   private:
    c10::OptionalStreamGuard guard_;
  };
  // While the scope lives, the calling thread's work goes to this stream.
  Scope Enter() const { return Scope(stream_); }
  void Synchronize() const;
  const std::optional<c10::Stream>& stream() const { return stream_; }

 private:
  std::optional<c10::Stream> stream_;
};

// The losses of a run's steps. Each is copied to pinned memory behind its step and read when it has arrived, so nothing
// waits for the device except to keep the host at most kStepsAhead steps in front of it.
class LossLog {
 public:
  static constexpr int64_t kStepsAhead = 4;

  LossLog(const TrainStream& stream, int64_t num_steps);

  // The loss of the next step, an fp32 scalar on the device; may be overwritten there by later work.
  void Record(const torch::Tensor& loss);
  // Waits until at most kStepsAhead steps are under way; all == true: until none is.
  void WaitForOldSteps(bool all);

  int64_t recorded() const { return recorded_; }
  int64_t arrived();  // losses 0 .. arrived() - 1 can be read
  double At(int64_t step) const { return host_.const_data_ptr<float>()[step]; }

 private:
  const TrainStream& stream_;
  torch::Tensor host_;
  std::deque<std::pair<int64_t, c10::Event>> under_way_;
  int64_t recorded_ = 0;
};

}  // namespace espalier
