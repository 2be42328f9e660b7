// The addition to the residual stream and the norm that reads it next, as one kernel on CUDA in bf16. Differentiable. Plain
// operators read and write the hidden states five times on the way there and eight on the way back; this three and four.
#pragma once

#include <torch/types.h>

namespace espalier {

// Whether the kernel serves hidden states like these (worker/model/fused_ops.h): also a matter of the hidden size.
bool HasAddRmsNorm(const torch::Tensor& hidden_BLD);

struct AddedAndNormed {
  torch::Tensor hidden_BLD;  // x + delta
  torch::Tensor normed_BLD;  // its RMS norm
};
AddedAndNormed AddRmsNorm(const torch::Tensor& x_BLD, const torch::Tensor& delta_BLD, const torch::Tensor& weight_D, double epsilon);

}  // namespace espalier
