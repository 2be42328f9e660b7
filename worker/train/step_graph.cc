#include "worker/train/step_graph.h"

#include <atomic>
#include <exception>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "worker/model/torch_status.h"

#ifdef ESPALIER_HAS_CUDA
#include <ATen/core/CachingHostAllocator.h>
#include <ATen/cuda/CUDAGraph.h>
#include <ATen/cuda/MemPool.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <cuda_runtime_api.h>
#endif

namespace espalier {

namespace {
thread_local bool has_captured = false;
std::atomic<int64_t> num_refused{0};
}  // namespace

bool StepGraph::HasCaptured() { return has_captured; }
int64_t StepGraph::NumRefused() { return num_refused; }

#ifdef ESPALIER_HAS_CUDA
namespace {

constexpr size_t kRoomShare = 8;  // this part of the device is to be free before a capture

// A memory pool that one graph after the other can be captured in. LibTorch keeps pinned host memory under the same id, counts
// the graphs that use it, and refuses a capture into an id whose last graph is gone: this holds it in between, as a MemPool does
// for the device's memory.
class GraphPool {
 public:
  GraphPool() : device_(nullptr, /*is_user_created=*/false), host_(*at::getHostAllocator(at::kCUDA)) {
    host_.begin_allocate_to_pool(id(), [](c10::Stream) { return false; });
    host_.end_allocate_to_pool(id());
  }
  ~GraphPool() {
    try {
      host_.release_pool(id());
    } catch (const std::exception&) {  // a lost device
    }
  }
  GraphPool(const GraphPool&) = delete;
  GraphPool& operator=(const GraphPool&) = delete;

  at::cuda::MempoolId_t id() { return device_.id(); }

 private:
  at::cuda::MemPool device_;
  at::HostAllocator& host_;
};

// Memory pools of graphs that are gone, for the next capture on their stream: a new pool would ask the driver for all its
// memory, which takes longer than the capture. A pool belongs to one graph at a time.
class CapturePools {
 public:
  static CapturePools& Get() {
    static CapturePools* pools = new CapturePools;  // outlives every graph
    return *pools;
  }
  std::unique_ptr<GraphPool> Take(c10::cuda::CUDAStream stream) {
    const std::lock_guard lock(mutex_);
    auto& of_stream = idle_[stream.unwrap()];
    if (of_stream.empty()) return std::make_unique<GraphPool>();
    std::unique_ptr<GraphPool> pool = std::move(of_stream.back());
    of_stream.pop_back();
    return pool;
  }
  void Return(c10::cuda::CUDAStream stream, std::unique_ptr<GraphPool> pool) {
    const std::lock_guard lock(mutex_);
    idle_[stream.unwrap()].push_back(std::move(pool));
  }
  // Their memory goes back to the allocator.
  void Clear() {
    const std::lock_guard lock(mutex_);
    idle_.clear();
  }

 private:
  struct Before {
    bool operator()(const c10::Stream& a, const c10::Stream& b) const {
      return std::pair(a.device_index(), a.id()) < std::pair(b.device_index(), b.id());
    }
  };
  std::mutex mutex_;
  std::map<c10::Stream, std::vector<std::unique_ptr<GraphPool>>, Before> idle_;
};

// While anybody captures, the allocator gives nothing back to the driver: on a device that is full of what it keeps for reuse, a
// capture would be refused, and the candidate trained without a graph. To be called when nobody captures.
void MakeRoomForCapture(CaptureRoom room) {
  size_t free = 0, total = 0;
  if (cudaMemGetInfo(&free, &total) != cudaSuccess) return;
  const bool is_short = free < total / kRoomShare;
  if (!is_short && room == CaptureRoom::kWhenShort) return;
  if (is_short) CapturePools::Get().Clear();
  c10::cuda::CUDACachingAllocator::emptyCache();
}

class CudaStepGraph final : public StepGraph {
 public:
  CudaStepGraph() : stream_(c10::cuda::getCurrentCUDAStream()), pool_(CapturePools::Get().Take(stream_)) {}
  ~CudaStepGraph() override {
    try {
      graph_.reset();
    } catch (const std::exception&) {  // a lost device
    }
    if (pool_ != nullptr) CapturePools::Get().Return(stream_, std::move(pool_));
  }

  absl::Status Record(const std::function<void()>& step, CaptureRoom room) {
    // The device's default generator takes part in every capture, so captures of several trainers follow one another.
    static std::mutex one_capture;
    const std::lock_guard lock(one_capture);
    bool capturing = false;
    try {
      MakeRoomForCapture(room);
      // Thread-local: what other threads allocate meanwhile for their own candidates does not break this capture.
      graph_.capture_begin(pool_->id(), cudaStreamCaptureModeThreadLocal);
      capturing = true;
      step();
      graph_.capture_end();
      has_captured = true;
      return absl::OkStatus();
    } catch (const std::exception& error) {
      const absl::Status status = TorchError("capturing a training step as a CUDA graph", error);
      if (capturing) Abandon();
      return status;
    }
  }

  void Replay() override { graph_.replay(); }

 private:
  // Ends the broken capture, so that the stream can be used again. CUDA reports the broken capture once more here. Its pool
  // may still be taken for one that is being recorded to, so nobody gets it again.
  void Abandon() {
    (void)pool_.release();
    try {
      graph_.capture_end();
    } catch (const std::exception&) {
    }
    (void)cudaGetLastError();
    try {
      graph_.reset();
    } catch (const std::exception&) {
    }
  }

  const c10::cuda::CUDAStream stream_;
  std::unique_ptr<GraphPool> pool_;
  at::cuda::CUDAGraph graph_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<StepGraph>> StepGraph::Capture(const std::function<void()>& step, CaptureRoom room) {
  auto graph = std::make_unique<CudaStepGraph>();
  if (absl::Status status = graph->Record(step, room); !status.ok()) {
    ++num_refused;
    return status;
  }
  return graph;
}

void StepGraph::FreeIdleMemory() { CapturePools::Get().Clear(); }

#else

void StepGraph::FreeIdleMemory() {}

absl::StatusOr<std::unique_ptr<StepGraph>> StepGraph::Capture(const std::function<void()>&, CaptureRoom) {
  return absl::FailedPreconditionError("this LibTorch was built without CUDA, so there are no CUDA graphs");
}

#endif

}  // namespace espalier
