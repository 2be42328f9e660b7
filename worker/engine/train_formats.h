// In which formats a candidate's weights and the optimiser's moments are held while it is trained: by what fits.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "worker/train/trainer.h"

namespace espalier {

struct TrainFormats {
  MastersFormat masters = MastersFormat::kFloat32;
  MomentsFormat moments = MomentsFormat::kFloat32;
  int64_t bytes_per_parameter = 0;  // with gradients and compute weights; a block's scales rounded up
};

struct FormatChoice {
  TrainFormats formats;
  bool may_recompute = false;  // activations may be computed again to make these formats fit
};

// The widest first. fp32 masters are given up last, when even moments of one byte and activations that are computed again leave no
// room for a window (PlanTraining chooses).
std::span<const FormatChoice> FormatChoices();

// `has_kernel`: gradients need no fp32 copy (worker/train/adamw_kernel.h).
int64_t BytesOfParameter(const TrainFormats& formats, bool has_kernel);

// A parameter's in the leanest of them.
int64_t LeastTrainingBytes();

// "fp32 masters, moments in bfloat16"
std::string Describe(MastersFormat masters, MomentsFormat moments);

}  // namespace espalier
