// Random models and inputs for the suites that see LibTorch.
#pragma once

#include <ATen/ops/randint.h>

#include <cstdint>
#include <string>
#include <vector>

#include "worker/model/forward.h"
#include "worker/model/random_model.h"

namespace espalier::testing {

// 3 layers, 6 query heads over 2 KV heads of size 8, with every optional tensor when `with_extras`.
inline ModelConfig ThreeLayerConfig(bool with_extras) {
  ModelConfig config = SmallConfig(/*num_layers=*/3, /*hidden_size=*/32, /*num_heads=*/6, /*num_kv_heads=*/2, /*head_size=*/8,
                                   /*ffn_width=*/48, /*vocabulary_size=*/61);
  config.qkv_bias = config.output_bias = config.ffn_bias = config.qk_norm = with_extras;
  return config;
}

inline torch::Tensor RandomTokens(int64_t rows, int64_t length, int64_t vocabulary_size, uint64_t seed) {
  torch::manual_seed(static_cast<int64_t>(seed));
  return at::randint(vocabulary_size, {rows, length}, torch::TensorOptions().dtype(torch::kInt64));
}

inline torch::Tensor LogitsOf(const LanguageModel& model, const torch::Tensor& tokens_BL) {
  const torch::NoGradGuard no_grad;
  const RotaryTables rotary =
      MakeRotaryTables(model.config, tokens_BL.size(1), model.device(), model.embedding_VD.scalar_type());
  return Logits(model, tokens_BL, rotary);
}

inline double MaxDifference(const torch::Tensor& a, const torch::Tensor& b) {
  return (a.to(torch::kFloat64) - b.to(torch::kFloat64)).abs().max().item<double>();
}

}  // namespace espalier::testing
