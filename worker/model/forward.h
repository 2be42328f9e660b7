// The forward pass of a LanguageModel as free functions. Differentiable with plain autograd, nothing synchronises with the
// host, no tensor of the size of the vocabulary is formed (except by Logits), and nothing is copied from the host, so a
// step can be captured as a CUDA graph: prebuild the rotary tables and the token tensors.
// Rows may be padded at their end: attention is causal, so padding changes nothing before it.
// Shape letters as in language_model.h.
#pragma once

#include <torch/types.h>

#include <cstdint>

#include "worker/model/language_model.h"

namespace espalier {

// Rotation by position, for positions 0..length-1. The first half of sin is negated, so that
// rotated = x * cos + swap_halves(x) * sin.
struct RotaryTables {
  torch::Tensor cos_LK;
  torch::Tensor sin_LK;
};

// Angles in fp32 as transformers computes them (rope types default, linear, llama3), then cast to dtype.
RotaryTables MakeRotaryTables(const ModelConfig& config, int64_t length, torch::Device device, torch::ScalarType dtype);

// The tables of the first `length` positions; views.
RotaryTables Narrow(const RotaryTables& tables, int64_t length);

// Normalised in fp32 whatever the dtype of x.
torch::Tensor RmsNorm(const torch::Tensor& x, const torch::Tensor& weight, double epsilon);

// The input of the attention output projection, [B, L, H*K], from the hidden states that enter the layer (the unit's input
// norm is applied here). The unit must not be removed. `rotary` has exactly L positions.
torch::Tensor AttentionInner(const ModelConfig& config, const LayerShape& shape, const AttentionWeights& weights,
                             const torch::Tensor& hidden_BLD, const RotaryTables& rotary);

// The input of the FFN down projection, [B, L, F], from the hidden states that enter the FFN unit (norm applied here).
torch::Tensor FfnInner(const ModelConfig& config, const FfnWeights& weights, const torch::Tensor& hidden_BLD);

// A unit's output before it is added to the hidden states, [B, L, D].
torch::Tensor AttentionForward(const ModelConfig& config, const LayerShape& shape, const AttentionWeights& weights,
                               const torch::Tensor& hidden_BLD, const RotaryTables& rotary);
torch::Tensor FfnForward(const ModelConfig& config, const FfnWeights& weights, const torch::Tensor& hidden_BLD);

// One layer, residual additions included; removed units add nothing.
torch::Tensor LayerForward(const LanguageModel& model, int layer, const torch::Tensor& hidden_BLD, const RotaryTables& rotary);

// Hidden states that enter layer `to`, from those that enter layer `from` (to == num_layers: before the final norm).
torch::Tensor HiddenAt(const LanguageModel& model, const torch::Tensor& hidden_BLD, int from, int to, const RotaryTables& rotary);

torch::Tensor Embed(const LanguageModel& model, const torch::Tensor& tokens_BL);
torch::Tensor FinalNorm(const LanguageModel& model, const torch::Tensor& hidden_BLD);

// Embed, all layers, final norm: what the output head reads.
torch::Tensor FinalHidden(const LanguageModel& model, const torch::Tensor& tokens_BL, const RotaryTables& rotary);

// The whole vocabulary at once: for short inputs and tests only.
torch::Tensor Logits(const LanguageModel& model, const torch::Tensor& tokens_BL, const RotaryTables& rotary);

}  // namespace espalier
