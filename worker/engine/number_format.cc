#include "worker/engine/number_format.h"

namespace espalier {

torch::ScalarType ScalarTypeOf(NumberFormat format) {
  switch (format) {
    case NumberFormat::kFloat32: return torch::kFloat32;
    case NumberFormat::kFloat16: return torch::kFloat16;
    case NumberFormat::kBFloat16: return torch::kBFloat16;
  }
  return torch::kFloat32;
}

LanguageModel RoundedCopy(const LanguageModel& model, NumberFormat format, torch::ScalarType dtype) {
  const torch::ScalarType stored = ScalarTypeOf(format);
  const auto rounded = [&](const torch::Tensor& tensor) {
    return tensor.defined() ? tensor.detach().to(stored).to(dtype, /*non_blocking=*/false, /*copy=*/true)
                            : torch::Tensor();
  };
  LanguageModel copy;
  copy.config = model.config;
  copy.embedding_VD = rounded(model.embedding_VD);
  copy.final_norm_D = rounded(model.final_norm_D);
  copy.head_VD = model.config.tied_embeddings ? copy.embedding_VD : rounded(model.head_VD);
  for (const LayerWeights& layer : model.layers) {
    const AttentionWeights& attention = layer.attention;
    LayerWeights to;
    to.attention.input_norm_D = rounded(attention.input_norm_D);
    to.attention.q_weight = rounded(attention.q_weight);
    to.attention.q_bias = rounded(attention.q_bias);
    to.attention.k_weight = rounded(attention.k_weight);
    to.attention.k_bias = rounded(attention.k_bias);
    to.attention.v_weight = rounded(attention.v_weight);
    to.attention.v_bias = rounded(attention.v_bias);
    to.attention.o_weight = rounded(attention.o_weight);
    to.attention.o_bias = rounded(attention.o_bias);
    to.attention.q_norm_K = rounded(attention.q_norm_K);
    to.attention.k_norm_K = rounded(attention.k_norm_K);
    to.attention.kv_index_H = attention.kv_index_H;
    const FfnWeights& ffn = layer.ffn;
    to.ffn.input_norm_D = rounded(ffn.input_norm_D);
    to.ffn.gate_weight = rounded(ffn.gate_weight);
    to.ffn.gate_bias = rounded(ffn.gate_bias);
    to.ffn.up_weight = rounded(ffn.up_weight);
    to.ffn.up_bias = rounded(ffn.up_bias);
    to.ffn.down_weight = rounded(ffn.down_weight);
    to.ffn.down_bias = rounded(ffn.down_bias);
    copy.layers.push_back(std::move(to));
  }
  return copy;
}

}  // namespace espalier
