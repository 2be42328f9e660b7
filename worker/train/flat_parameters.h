// One buffer for all weights of a candidate. The optimiser then works on flat tensors with a handful of kernels, and q,
// k, v and gate, up lie end to end, which the forward pass uses as one matrix each.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <utility>
#include <vector>

#include "worker/model/language_model.h"

namespace espalier {

struct FlatParameters {
  torch::Tensor flat;                 // [total], in the model's dtype; the gaps between leaves are zero
  std::vector<torch::Tensor> leaves;  // views of `flat` that require gradients, in the order of their offsets
  std::vector<int64_t> offsets;       // of each leaf, multiples of kLeafAlignment elements
  int embedding = 0;                  // indices into leaves
  int final_norm = 0;
  int head = 0;                                   // the same as embedding when tied
  std::vector<std::pair<int, int>> layer_leaves;  // [first, last) of each layer
  int64_t num_parameters = 0;                     // without the gaps

  int64_t size() const { return flat.numel(); }
};

// Matrix products want aligned addresses: 64 elements are 128 bytes in bf16.
inline constexpr int64_t kLeafAlignment = 64;

// Copies the model's weights into one buffer and makes its tensors views of it (the fused ones and the norms leaves).
// The tensors that the model had, which it may share with the dense model and the level bank, are left as they were.
FlatParameters FlattenParameters(LanguageModel& model);

}  // namespace espalier
