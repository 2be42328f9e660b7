// A stream for each task that runs at once, so that tasks share the card instead of queueing behind each other. Reused from
// task to task: the allocator keeps freed memory apart by stream.
#pragma once

#include <c10/core/Stream.h>
#include <c10/core/StreamGuard.h>
#include <torch/types.h>

#include <mutex>
#include <vector>

namespace espalier {

class SlotStreams {
 public:
  explicit SlotStreams(torch::Device device) : device_(device) {}

  // While it lives, the calling thread works on a stream that no other Use has. At its end it waits for the stream: what the
  // task shared with others may then go. Nothing on CPU.
  class Use {
   public:
    explicit Use(SlotStreams& streams);
    ~Use();
    Use(const Use&) = delete;
    Use& operator=(const Use&) = delete;

   private:
    SlotStreams& streams_;
    c10::OptionalStreamGuard guard_;
  };

 private:
  c10::Stream Take();

  const torch::Device device_;
  std::mutex mutex_;
  std::vector<c10::Stream> idle_;
};

}  // namespace espalier
