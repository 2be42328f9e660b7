#include "worker/train/step_graph.h"

#include <exception>
#include <mutex>
#include <string>

#include "worker/model/torch_status.h"

#ifdef ESPALIER_HAS_CUDA
#include <ATen/cuda/CUDAGraph.h>
#endif

namespace espalier {

#ifdef ESPALIER_HAS_CUDA
namespace {

class CudaStepGraph final : public StepGraph {
 public:
  absl::Status Record(const std::function<void()>& step, const at::Generator& generator) {
    // The device's default generator takes part in every capture, so captures of several trainers follow one another.
    static std::mutex one_capture;
    const std::lock_guard lock(one_capture);
    if (generator.defined()) graph_.register_generator_state(generator);
    bool capturing = false;
    try {
      // Thread-local: what other threads allocate meanwhile for their own candidates does not break this capture.
      graph_.capture_begin({0, 0}, cudaStreamCaptureModeThreadLocal);
      capturing = true;
      step();
      graph_.capture_end();
      return absl::OkStatus();
    } catch (const std::exception& error) {
      const absl::Status status = TorchError("capturing a training step as a CUDA graph", error);
      if (capturing) Abandon();
      return status;
    }
  }

  void Replay() override { graph_.replay(); }

 private:
  // Ends the broken capture, so that the stream can be used again. CUDA reports the broken capture once more here.
  void Abandon() {
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

  at::cuda::CUDAGraph graph_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<StepGraph>> StepGraph::Capture(const std::function<void()>& step,
                                                              const at::Generator& generator) {
  auto graph = std::make_unique<CudaStepGraph>();
  if (absl::Status status = graph->Record(step, generator); !status.ok()) return status;
  return graph;
}

#else

absl::StatusOr<std::unique_ptr<StepGraph>> StepGraph::Capture(const std::function<void()>&, const at::Generator&) {
  return absl::FailedPreconditionError("this LibTorch was built without CUDA, so there are no CUDA graphs");
}

#endif

}  // namespace espalier
