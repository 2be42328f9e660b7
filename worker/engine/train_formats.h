// In which formats a candidate's weights and the optimiser's moments are held while it is trained: by what fits.
#pragma once

#include <cstdint>
#include <string>

#include "worker/train/trainer.h"

namespace espalier {

// All in bytes.
struct TrainingRoom {
  int64_t available = 0;
  int64_t window = 0;             // activations of one window
  int64_t recomputed_window = 0;  // the same where they are computed again in the backward pass
};

struct TrainFormats {
  MastersFormat masters = MastersFormat::kFloat32;
  MomentsFormat moments = MomentsFormat::kFloat32;
  int64_t bytes_per_parameter = 0;  // with gradients and compute weights; a block's scales rounded up
};

// The widest that leave room for a window. fp32 masters are given up last, when even moments of one byte and activations that are
// computed again leave none; the leanest where nothing does. `has_kernel`: gradients need no fp32 copy (worker/train/adamw_kernel.h).
TrainFormats ChooseTrainFormats(int64_t parameters, bool has_kernel, const TrainingRoom& room);

// A parameter's in the leanest of them.
int64_t LeastTrainingBytes();

// "fp32 masters, moments in bfloat16"
std::string Describe(MastersFormat masters, MomentsFormat moments);

}  // namespace espalier
