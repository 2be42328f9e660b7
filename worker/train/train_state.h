// A candidate's training state apart from the device: what CONTINUE keeps between stages and recovery writes to artifacts.
// All tensors are flat, on the host (pinned when they came from a GPU; a worker also keeps states on the device), in the layout of FlatParameters, which depends on
// the candidate's shape alone.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/domain/job.h"

namespace espalier {

struct TrainState {
  ContinueState format = ContinueState::kFull;
  std::string mask_digest;
  std::string stream;      // ToText(WindowKey)
  int64_t position = 0;    // tokens of the stream that are behind this state
  int64_t steps_taken = 0;  // for the learning-rate schedule and stochastic rounding
  int64_t moment_steps = 0;  // Adam's step count; 0 with kWeightsBFloat16, whose moments start anew

  torch::Tensor weights;  // the masters with kFull, in their format; bf16 with kWeightsBFloat16
  torch::Tensor first_moments, second_moments;  // undefined with kWeightsBFloat16
  torch::Tensor first_scales, second_scales;    // of moments in bytes (worker/train/byte_moments.h), else undefined

  int64_t bytes() const;
};

// The weights stay; the optimiser and the schedule begin anew.
void ForgetTraining(TrainState& state);

// Copies what lies on a GPU to page-locked host memory.
void BringToHost(TrainState& state);

// As a safetensors file, for artifacts. Deterministic: equal states give equal bytes.
std::string ToBytes(const TrainState& state);

// kDataLoss or kInvalidArgument says what is wrong with the bytes; `name` stands for them in messages.
absl::StatusOr<TrainState> TrainStateFromBytes(std::string_view bytes, const std::string& name);

}  // namespace espalier
