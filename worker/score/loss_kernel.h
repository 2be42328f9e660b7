// The loss of a chunk of rows and its gradient towards the logits as one kernel, for bf16 training on CUDA.
// Shape letters: n rows, V vocabulary.
#pragma once

#include <torch/types.h>

namespace espalier {

// How much of each loss; they add up to one.
struct LossShares {
  double cross_entropy = 0;
  double kl = 0;
};

// Whether the kernel serves a model whose hidden states are like these (worker/model/fused_ops.h).
bool HasLossKernel(const torch::Tensor& hidden);

// Adds sum over rows of weight * (ce * -log p(target) + kl * KL(q || p)) to `loss` (fp32, one element) and returns the gradient
// towards the logits, bf16 [n, V]. Logits are fp32 and dense, the teacher's undefined when no KL is wanted; targets_n int64, below
// zero for rows of weight 0; weight_n fp32.
torch::Tensor FusedLogitsGradient(const torch::Tensor& logits_nV, const torch::Tensor& teacher_logits_nV,
                                  const torch::Tensor& targets_n, const torch::Tensor& weight_n, LossShares shares,
                                  torch::Tensor& loss);

}  // namespace espalier
