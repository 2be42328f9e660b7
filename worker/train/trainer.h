// Trains one assembled candidate: flat fp32 masters (or none) and moments, bf16 compute weights on a GPU, AdamW as a few kernels
// over flat tensors, and on a GPU the whole step as one replayed CUDA graph on a stream of the trainer's own. No host
// synchronisation inside a step; the host runs a few steps ahead of the device and reads losses when they have arrived.
//
// A trainer lives as long as its candidate is of interest: its graph serves all stages. Trainers share nothing, so several
// of them may work on one card, each on its own thread. Not thread-safe itself.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/domain/job.h"
#include "common/domain/windows.h"
#include "worker/model/language_model.h"
#include "worker/train/train_data.h"
#include "worker/train/train_state.h"

namespace espalier {

// How the optimiser's moments are stored. kBFloat16 rounds stochastically (a nearest-rounded
// second moment would never fall: at beta2 0.999 its change is below half a bf16 unit). A parameter costs 4 + 2 + 2 + 2 + 2 bytes
// (master, moments, compute weight, gradient) instead of 4 + 4 + 4 + 2 + 2, and of 4 more where there is no kernel
// (worker/train/adamw_kernel.h) and gradients are first made fp32. kByte (worker/train/byte_moments.h) costs 4 + 1 + 1 + 2 + 2
// and a thirtieth for the blocks' scales.
enum class MomentsFormat { kFloat32, kBFloat16, kByte };

// The weights that the optimiser works on. With kBFloat16 there is no fp32 copy at all: the bf16 compute weights are the masters,
// and each step rounds them stochastically, since most steps are below half of their unit. It wants a candidate in bf16, and saves the
// master's 4 bytes a parameter: 2 + 2 + 2 + 2 with moments in bf16, 1 + 1 + 2 + 2 with those of one byte.
enum class MastersFormat { kFloat32, kBFloat16 };

// kExact runs every piece at its own length (default on CPU); kStatic pads and masks all steps to one shape, which a graph
// needs (default on a GPU). Losses and gradients are the same up to rounding.
enum class BatchLayout { kByDevice, kExact, kStatic };

struct TrainerOptions {
  MomentsFormat moments = MomentsFormat::kFloat32;
  MastersFormat masters = MastersFormat::kFloat32;
  BatchLayout layout = BatchLayout::kByDevice;
  bool use_graph = true;              // on a GPU with static batches
  int64_t graph_from_steps = 8;       // a run of fewer steps than this does not pay for a capture
  bool recompute_activations = false;  // keeps one hidden state a layer instead of all activations
  int64_t micro_batch_tokens = 0;     // most tokens in one forward pass, gradients accumulate; 0: a step is one pass
};

struct TrainProgressReport {
  int64_t tokens = 0;  // done, of this run
  int64_t total_tokens = 0;
  double tokens_per_second = 0;
  double loss = 0;  // of the last step whose loss has arrived
};

// Called from the thread of Run at most about four times a second.
using TrainProgressFunction = std::function<void(const TrainProgressReport&)>;

struct TrainResult {
  bool finite = true;
  std::string infeasible_reason;  // when not finite
  double first_loss = 0;          // nats per prediction, of the first and last step of the run
  double last_loss = 0;
  int64_t tokens = 0;
  int64_t steps = 0;
  double seconds = 0;          // of the whole run
  double capture_seconds = 0;  // of it, spent on capturing a graph
  bool used_graph = false;
  std::string graph_refusal;  // why a wanted graph could not be captured; the run went on without
};

class Trainer {
 public:
  // Takes over the candidate's weights: its tensors become views of one flat buffer, in the compute format, and hold the
  // trained weights after every Run. The candidate must outlive the trainer; nobody else may use it during Run.
  // kInvalidArgument for masters in bf16 of a candidate that is not, kResourceExhausted when memory ends (the candidate is then
  // unusable).
  static absl::StatusOr<std::unique_ptr<Trainer>> Create(LanguageModel* candidate, const TrainSettings& settings,
                                                         const TrainerOptions& options);
  virtual ~Trainer() = default;

  // Takes the steps in their order: exactly their tokens. `schedule_steps` is the length of the learning-rate schedule
  // (0: constant). A loss or weight that is not finite is an OK result with finite == false. kCancelled after `stop` (the
  // state is then between two steps), kInvalidArgument for windows that `data` lacks, kResourceExhausted for memory.
  virtual absl::StatusOr<TrainResult> Run(const std::vector<Step>& steps, const TrainData& data, int64_t schedule_steps,
                                          const TrainProgressFunction& progress, std::stop_token stop) = 0;

  // As if made anew for a candidate with these weights: its buffers and its graph serve again. kInvalidArgument, with nothing
  // changed, when `fresh` is of another shape.
  virtual absl::Status BeginAgain(const LanguageModel& fresh) = 0;

  // Copies the state to the host. The caller fills in mask_digest, stream and position.
  virtual absl::StatusOr<TrainState> Save(ContinueState format) const = 0;
  // The same with tensors that stay on the candidate's device.
  virtual absl::StatusOr<TrainState> SaveOnDevice(ContinueState format) const = 0;

  // kInvalidArgument when the state is of another shape; one of other formats is converted. On CPU a run continued from a kFull
  // state of the same formats gives bitwise the weights of one that went straight through.
  virtual absl::Status Restore(const TrainState& state) = 0;

  // Rounds this state as Save(format) followed by Restore would, so that a replay through a stage's end takes the same way
  // as a retained state did. Nothing happens with kFull.
  virtual absl::Status RoundAsRetained(ContinueState format) = 0;

  virtual int64_t steps_taken() const = 0;
  virtual int64_t num_parameters() const = 0;
  virtual int64_t state_bytes(ContinueState format) const = 0;  // of what Save(format) would return
};

}  // namespace espalier
