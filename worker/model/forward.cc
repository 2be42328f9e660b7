#include "worker/model/forward.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/_scaled_dot_product_cudnn_attention.h>
#include <ATen/ops/addcmul.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/embedding.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/outer.h>
#include <ATen/ops/pow.h>
#include <ATen/ops/rms_norm.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <ATen/ops/silu.h>
#include <ATen/ops/where.h>

#include <numbers>
#include <tuple>
#include <utility>

#include "worker/model/fused_norm.h"
#include "worker/model/fused_ops.h"

namespace espalier {
namespace {

using torch::Tensor;

constexpr int64_t kCudnnAttentionFrom = int64_t{1} << 23;  // elements of the queries

// Low frequencies are divided by `factor`, high ones stay, those between are blended (Llama 3.1; transformers,
// modeling_rope_utils.py: _compute_llama3_parameters).
Tensor ScaleLlama3(const Tensor& frequencies, const RopeConfig& rope) {
  const double low_wavelength = static_cast<double>(rope.original_max_positions) / rope.low_frequency_factor;
  const double high_wavelength = static_cast<double>(rope.original_max_positions) / rope.high_frequency_factor;
  const Tensor wavelength = frequencies.reciprocal() * (2 * std::numbers::pi);
  const Tensor slowed = frequencies / rope.factor;
  const Tensor smooth = (wavelength.reciprocal() * static_cast<double>(rope.original_max_positions) - rope.low_frequency_factor) /
                        (rope.high_frequency_factor - rope.low_frequency_factor);
  const Tensor blended = (1 - smooth) * slowed + smooth * frequencies;
  const Tensor scaled = at::where(wavelength > low_wavelength, slowed, frequencies);
  return at::where((wavelength <= low_wavelength).logical_and(wavelength >= high_wavelength), blended, scaled);
}

Tensor Frequencies(const ModelConfig& config) {
  const auto options = torch::TensorOptions().dtype(torch::kFloat32);
  const Tensor exponents = at::arange(0, config.head_size, 2, options) / config.head_size;
  const Tensor frequencies = at::pow(config.rope.theta, exponents).reciprocal();
  switch (config.rope.type) {
    case RopeType::kDefault:
      return frequencies;
    case RopeType::kLinear:
      return frequencies / config.rope.factor;
    case RopeType::kLlama3:
      return ScaleLlama3(frequencies, config.rope);
  }
  return frequencies;
}

// x [B, L, heads, K]; few kernels: one copy, one product, one fused multiply-add.
Tensor Rotate(const Tensor& x_BLHK, const Tensor& cos_LK, const Tensor& sin_LK) {
  const Tensor cos = cos_LK.unsqueeze(1);
  const Tensor sin = sin_LK.unsqueeze(1);
  return at::addcmul(x_BLHK * cos, x_BLHK.roll(x_BLHK.size(-1) / 2, -1), sin);
}

struct Heads {
  Tensor q_BLHK, k_BLGK, v_BLGK;  // rotated
  bool is_expanded = false;       // k and v have a head for each of q's already
};

Heads FusedHeads(const ModelConfig& config, const LayerShape& shape, const AttentionWeights& weights, const Tensor& x_BLD,
                 const RotaryTables& rotary) {
  const int64_t H = shape.num_heads(), G = shape.num_kv_heads, K = config.head_size;
  const Tensor qkv_BLW = at::linear(x_BLD, weights.qkv_weight, weights.qkv_bias);
  if (!config.qk_norm && HasFusedOps(qkv_BLW)) {
    const SplitHeads heads = SplitAndRotate(qkv_BLW, rotary.cos_LK, rotary.sin_LK, weights.kv_index_H, H, G, K);
    return {heads.q_BLHK, heads.k_BLJK, heads.v_BLJK, weights.kv_index_H.defined()};
  }
  const Tensor qkv = qkv_BLW.view({x_BLD.size(0), x_BLD.size(1), H + 2 * G, K});
  if (config.qk_norm) {
    const auto parts = qkv.split_with_sizes({H, G, G}, 2);
    const Tensor q = RmsNorm(parts[0], weights.q_norm_K, config.rms_norm_epsilon);
    const Tensor k = RmsNorm(parts[1], weights.k_norm_K, config.rms_norm_epsilon);
    return {Rotate(q, rotary.cos_LK, rotary.sin_LK), Rotate(k, rotary.cos_LK, rotary.sin_LK), parts[2]};
  }
  const auto parts = qkv.split_with_sizes({H + G, G}, 2);
  const auto rotated = Rotate(parts[0], rotary.cos_LK, rotary.sin_LK).split_with_sizes({H, G}, 2);
  return {rotated[0], rotated[1], parts[1]};
}

Heads SeparateHeads(const ModelConfig& config, const AttentionWeights& weights, const Tensor& x_BLD, const RotaryTables& rotary) {
  const int64_t B = x_BLD.size(0), L = x_BLD.size(1), K = config.head_size;
  Tensor q = at::linear(x_BLD, weights.q_weight, weights.q_bias).view({B, L, -1, K});
  Tensor k = at::linear(x_BLD, weights.k_weight, weights.k_bias).view({B, L, -1, K});
  const Tensor v = at::linear(x_BLD, weights.v_weight, weights.v_bias).view({B, L, -1, K});
  if (config.qk_norm) {
    q = RmsNorm(q, weights.q_norm_K, config.rms_norm_epsilon);
    k = RmsNorm(k, weights.k_norm_K, config.rms_norm_epsilon);
  }
  return {Rotate(q, rotary.cos_LK, rotary.sin_LK), Rotate(k, rotary.cos_LK, rotary.sin_LK), v};
}

// Flash attention (CPU; CUDA in 16 bits) reads grouped KV heads by itself. The fp32 kernels on CUDA do not, and without
// this they would fall back to the reference path, which forms all L x L scores.
bool NeedsEqualHeads(const Tensor& q) { return q.is_cuda() && q.scalar_type() == torch::kFloat32; }

Tensor RepeatGroups(const Tensor& x_BGLK, int64_t times) {
  const auto sizes = x_BGLK.sizes();
  return x_BGLK.unsqueeze(2).expand({sizes[0], sizes[1], times, sizes[2], sizes[3]}).reshape({sizes[0], -1, sizes[2], sizes[3]});
}

}  // namespace

RotaryTables MakeRotaryTables(const ModelConfig& config, int64_t length, torch::Device device, torch::ScalarType dtype) {
  const Tensor positions = at::arange(0, length, torch::TensorOptions().dtype(torch::kFloat32));
  const Tensor angles = at::outer(positions, Frequencies(config));
  const Tensor cos = angles.cos(), sin = angles.sin();
  return {at::cat({cos, cos}, -1).to(dtype).to(device), at::cat({-sin, sin}, -1).to(dtype).to(device)};
}

RotaryTables Narrow(const RotaryTables& tables, int64_t length) {
  return {tables.cos_LK.narrow(0, 0, length), tables.sin_LK.narrow(0, 0, length)};
}

Tensor RmsNorm(const Tensor& x, const Tensor& weight, double epsilon) {
  return at::rms_norm(x, {x.size(-1)}, weight, epsilon);
}

namespace {

// The residual stream, hidden + delta, before the two are added: the norm that reads it next adds them in its own kernel.
struct ResidualStream {
  Tensor hidden_BLD;
  Tensor delta_BLD;  // undefined: nothing to add yet

  // Its RMS norm; afterwards the sum is in hidden_BLD.
  Tensor Normed(const Tensor& weight_D, double epsilon) {
    if (delta_BLD.defined() && HasAddRmsNorm(hidden_BLD)) {
      const AddedAndNormed both = AddRmsNorm(hidden_BLD, std::exchange(delta_BLD, Tensor()), weight_D, epsilon);
      hidden_BLD = both.hidden_BLD;
      return both.normed_BLD;
    }
    return RmsNorm(Sum(), weight_D, epsilon);
  }
  const Tensor& Sum() {
    if (delta_BLD.defined()) hidden_BLD = hidden_BLD + std::exchange(delta_BLD, Tensor());
    return hidden_BLD;
  }
};

// cuDNN's attention is twice as fast as LibTorch's flash attention in training, but plans every new number of heads for tens of
// milliseconds: worth it where a step is long.
bool WantsCudnnAttention(const Tensor& q, const Tensor& k) {
  return q.is_cuda() && q.scalar_type() == torch::kBFloat16 && at::GradMode::is_enabled() && q.requires_grad() &&
         q.size(1) == k.size(1) && q.numel() >= kCudnnAttentionFrom && HasFusedOps(q);
}

Tensor Attend(const Tensor& q, const Tensor& k, const Tensor& v) {
  if (WantsCudnnAttention(q, k)) {
    return std::get<0>(at::_scaled_dot_product_cudnn_attention(q, k, v, /*attn_bias=*/{}, /*compute_log_sumexp=*/true,
                                                               /*dropout_p=*/0.0, /*is_causal=*/true));
  }
  const bool is_grouped = k.size(1) != q.size(1);
  return at::scaled_dot_product_attention(q, k, v, /*attn_mask=*/{}, /*dropout_p=*/0.0, /*is_causal=*/true,
                                          /*scale=*/std::nullopt, /*enable_gqa=*/is_grouped);
}

Tensor AttentionOf(const ModelConfig& config, const LayerShape& shape, const AttentionWeights& weights, const Tensor& x_BLD,
                   const RotaryTables& rotary) {
  const Heads heads = weights.qkv_weight.defined() ? FusedHeads(config, shape, weights, x_BLD, rotary)
                                                   : SeparateHeads(config, weights, x_BLD, rotary);
  const Tensor q = heads.q_BLHK.transpose(1, 2);
  Tensor k = heads.k_BLGK.transpose(1, 2);
  Tensor v = heads.v_BLGK.transpose(1, 2);
  const int64_t num_heads = shape.num_heads();
  if (weights.kv_index_H.defined() && !heads.is_expanded) {
    k = k.index_select(1, weights.kv_index_H);
    v = v.index_select(1, weights.kv_index_H);
  } else if (num_heads != shape.num_kv_heads && NeedsEqualHeads(q)) {
    k = RepeatGroups(k, num_heads / shape.num_kv_heads);
    v = RepeatGroups(v, num_heads / shape.num_kv_heads);
  }
  return Attend(q, k, v).transpose(1, 2).reshape({x_BLD.size(0), x_BLD.size(1), num_heads * config.head_size});
}

Tensor FfnOf(const FfnWeights& weights, const Tensor& x_BLD) {
  if (weights.gate_up_weight.defined()) {
    const Tensor gate_up = at::linear(x_BLD, weights.gate_up_weight, weights.gate_up_bias);
    if (HasFusedOps(gate_up)) return SwiGlu(gate_up);
    const auto parts = gate_up.chunk(2, -1);
    return at::silu(parts[0]) * parts[1];
  }
  return at::silu(at::linear(x_BLD, weights.gate_weight, weights.gate_bias)) *
         at::linear(x_BLD, weights.up_weight, weights.up_bias);
}

void AdvanceLayer(const LanguageModel& model, int layer, ResidualStream& stream, const RotaryTables& rotary) {
  const ModelConfig& config = model.config;
  const LayerShape& shape = config.layers[layer];
  const AttentionWeights& attention = model.layers[layer].attention;
  const FfnWeights& ffn = model.layers[layer].ffn;
  if (shape.num_heads() > 0) {
    const Tensor x_BLD = stream.Normed(attention.input_norm_D, config.rms_norm_epsilon);
    stream.delta_BLD = at::linear(AttentionOf(config, shape, attention, x_BLD, rotary), attention.o_weight, attention.o_bias);
  }
  if (shape.ffn_width > 0) {
    const Tensor x_BLD = stream.Normed(ffn.input_norm_D, config.rms_norm_epsilon);
    stream.delta_BLD = at::linear(FfnOf(ffn, x_BLD), ffn.down_weight, ffn.down_bias);
  }
}

ResidualStream AdvanceLayers(const LanguageModel& model, const Tensor& hidden_BLD, int from, int to, const RotaryTables& rotary) {
  ResidualStream stream = {hidden_BLD, Tensor()};
  for (int layer = from; layer < to; ++layer) AdvanceLayer(model, layer, stream, rotary);
  return stream;
}

}  // namespace

Tensor AttentionInner(const ModelConfig& config, const LayerShape& shape, const AttentionWeights& weights,
                      const Tensor& hidden_BLD, const RotaryTables& rotary) {
  return AttentionOf(config, shape, weights, RmsNorm(hidden_BLD, weights.input_norm_D, config.rms_norm_epsilon), rotary);
}

Tensor FfnInner(const ModelConfig& config, const FfnWeights& weights, const Tensor& hidden_BLD) {
  return FfnOf(weights, RmsNorm(hidden_BLD, weights.input_norm_D, config.rms_norm_epsilon));
}

Tensor AttentionForward(const ModelConfig& config, const LayerShape& shape, const AttentionWeights& weights,
                        const Tensor& hidden_BLD, const RotaryTables& rotary) {
  return at::linear(AttentionInner(config, shape, weights, hidden_BLD, rotary), weights.o_weight, weights.o_bias);
}

Tensor FfnForward(const ModelConfig& config, const FfnWeights& weights, const Tensor& hidden_BLD) {
  return at::linear(FfnInner(config, weights, hidden_BLD), weights.down_weight, weights.down_bias);
}

Tensor LayerForward(const LanguageModel& model, int layer, const Tensor& hidden_BLD, const RotaryTables& rotary) {
  return HiddenAt(model, hidden_BLD, layer, layer + 1, rotary);
}

Tensor HiddenAt(const LanguageModel& model, const Tensor& hidden_BLD, int from, int to, const RotaryTables& rotary) {
  return AdvanceLayers(model, hidden_BLD, from, to, rotary).Sum();
}

Tensor Embed(const LanguageModel& model, const Tensor& tokens_BL) { return at::embedding(model.embedding_VD, tokens_BL); }

Tensor FinalNorm(const LanguageModel& model, const Tensor& hidden_BLD) {
  return RmsNorm(hidden_BLD, model.final_norm_D, model.config.rms_norm_epsilon);
}

Tensor FinalHidden(const LanguageModel& model, const Tensor& tokens_BL, const RotaryTables& rotary) {
  ResidualStream stream = AdvanceLayers(model, Embed(model, tokens_BL), 0, model.config.num_layers, rotary);
  return stream.Normed(model.final_norm_D, model.config.rms_norm_epsilon);
}

Tensor Logits(const LanguageModel& model, const Tensor& tokens_BL, const RotaryTables& rotary) {
  return at::linear(FinalHidden(model, tokens_BL, rotary), model.head_VD);
}

}  // namespace espalier
