// Checks of single run-time kernels against LibTorch's operators; each adds its rows and fails when they differ.
#pragma once

#include "absl/status/status.h"
#include "bench/report.h"
#include "worker/model/language_model.h"

namespace espalier::bench {

// AdamW with its kernel against the way without it, over steps with and without clipping, in every format of masters and moments;
// and that weights without an fp32 copy keep the mean.
absl::Status CheckOptimizer(const ModelConfig& shape, torch::Device device, Report& report);

// A chunk's loss and gradients against the operators in fp32, for each loss, with a vocabulary that is and one that is not a
// multiple of four.
absl::Status CheckLoss(torch::Device device, Report& report);

// The residual addition with its norm, forward and backward, for hidden sizes that fill a block unevenly.
absl::Status CheckNorm(torch::Device device, Report& report);

}  // namespace espalier::bench
