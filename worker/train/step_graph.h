// A step as a CUDA graph: captured once, replayed with whatever its static tensors then hold.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "absl/status/statusor.h"

namespace espalier {

// What to give back to the driver before a capture. Whatever the allocator keeps for reuse outside the graph's pool is of no use
// to the graph, and while a capture is under way nothing can be given back.
enum class CaptureRoom {
  kWhenShort,   // everything unused, when little of the device is free
  kEverything,  // everything unused: a graph of a large model takes a good part of the device
};

class StepGraph {
 public:
  // Records what `step` queues on the current stream (not the default one) without running it. A step like it must have run
  // on this thread before, so that libraries have what they make for a thread; it draws from no generator. The graph keeps the
  // memory of its temporaries in a pool of its own until it is destroyed. Not an OK status when the step cannot be captured;
  // nothing has run then, and the step can still be run as it is. One capture at a time in a process; replays do not wait for
  // each other.
  static absl::StatusOr<std::unique_ptr<StepGraph>> Capture(const std::function<void()>& step, CaptureRoom room);
  virtual ~StepGraph() = default;

  // Whether this thread has captured a step: then the next one, of another shape, need not run first.
  static bool HasCaptured();
  // How many captures of this process were refused: each a candidate that trains several times slower than it could.
  static int64_t NumRefused();
  // Memory of graphs that are gone is kept for the next ones on their stream; this gives it back to the allocator.
  static void FreeIdleMemory();

  // Queues the whole step on the current stream.
  virtual void Replay() = 0;
};

}  // namespace espalier
