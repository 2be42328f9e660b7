// What training one candidate takes of a device, and what it is given: a function of numbers of the job and of the
// device's size alone, so that equal workers train alike, whatever they hold in their caches.
#pragma once

#include <cstdint>

#include "common/domain/model_config.h"
#include "worker/train/trainer.h"

namespace espalier {

// Beside weights, their state and activations: logits in chunks, buffers of the step.
inline constexpr int64_t kWorkingBytes = int64_t{1} << 30;

// What no plan counts on: fragments, libraries, what is only estimated.
constexpr int64_t WithoutReserve(int64_t device_bytes) { return device_bytes / 100 * 92; }

// Of one candidate.
struct TrainingDemand {
  int64_t parameters = 0;
  int64_t activation_bytes = 0;  // of one token, for the backward pass
  int64_t recomputed_bytes = 0;  // the same when layers are computed again
  int64_t window_tokens = 0;     // the shortest pass
  int64_t step_tokens = 0;
  bool has_fused_optimizer = true;  // one kernel, which needs no fp32 copy of the gradients
};
TrainingDemand DemandOf(const ModelConfig& candidate, int64_t window_tokens, int64_t tokens_per_step,
                        bool has_fused_optimizer);

// What the job keeps on the device whichever candidate trains there, in bytes.
struct ResidentBytes {
  int64_t dense = 0;
  int64_t bank = 0;      // on the device, where there is room for it
  int64_t streams = 0;   // the dense model's hidden states of the training stream
  int64_t teachers = 0;  // of the score windows
};

struct TrainingPlan {
  MastersFormat masters = MastersFormat::kFloat32;
  MomentsFormat moments = MomentsFormat::kFloat32;
  bool recompute_activations = false;
  int64_t micro_batch_tokens = 0;  // 0: a step is one pass
  bool bank_on_host = false;       // in page-locked memory, read once a candidate
  int64_t state_bytes = 0;         // weights, masters, moments and a gradient
  int64_t pass_bytes = 0;          // what a pass adds to them
  int64_t available = 0;           // for both, of the task's part of the device
  // Of the device while the candidate is there.
  int64_t bytes() const { return state_bytes + pass_bytes + 2 * kWorkingBytes; }
};

// The widest formats (train_formats.h) that leave room for a pass over one window with its activations kept, or, where the
// formats allow that, computed again. Then passes as long as fit. The bank leaves the device when that changes
// any of these. `device_bytes`: of the whole device, shared by `num_slots` tasks. When not even the leanest way fits,
// that one comes out: such a candidate may find the device full.
TrainingPlan PlanTraining(const TrainingDemand& demand, const ResidentBytes& resident, int64_t device_bytes, int num_slots);

}  // namespace espalier
