// Logits of a few rows, in the type that softmax and sums use: fp32 (double for double). On CUDA a product of 16-bit inputs
// is written in fp32 directly, so that logits are not rounded to 8 bits of precision.
#pragma once

#include <ATen/ops/addmm.h>
#include <ATen/ops/mm.h>
#include <torch/types.h>

namespace espalier {

inline torch::ScalarType AccumulationType(const torch::Tensor& tensor) {
  return tensor.scalar_type() == torch::kFloat64 ? torch::kFloat64 : torch::kFloat32;
}

// left * right in AccumulationType.
inline torch::Tensor MmWide(const torch::Tensor& left, const torch::Tensor& right) {
  const torch::ScalarType type = AccumulationType(left);
  if (left.scalar_type() == type) return at::mm(left, right);
  if (left.is_cuda()) return at::mm(left, right, type);
  return at::mm(left.to(type), right.to(type));
}

// sum += left * right, where sum is in AccumulationType.
inline void AddMmWide(torch::Tensor& sum, const torch::Tensor& left, const torch::Tensor& right) {
  if (left.is_cuda() && left.scalar_type() != sum.scalar_type()) {
    at::addmm_out(sum, sum, left, right, sum.scalar_type());
  } else {
    sum.add_(MmWide(left, right));
  }
}

// [n, V] from [n, D] and [V, D].
inline torch::Tensor ChunkLogits(const torch::Tensor& hidden_ND, const torch::Tensor& head_VD) {
  return MmWide(hidden_ND, head_VD.t());
}

}  // namespace espalier
