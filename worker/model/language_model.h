// A Llama-like decoder as tensors on one device: dense or pruned, the layers may have different widths.
// Shape letters: B rows, L positions, D hidden, H query heads, G KV heads, K head size, F FFN width, V vocabulary.
#pragma once

#include <torch/types.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/checkpoint/model_folder.h"
#include "common/domain/model_config.h"

namespace espalier {

// Tensors are undefined where the config has none (no bias, no q/k norm, a removed unit). Weights are [out, in].
struct AttentionWeights {
  torch::Tensor input_norm_D;
  torch::Tensor q_weight, q_bias;  // [H*K, D], [H*K]
  torch::Tensor k_weight, k_bias;  // [G*K, D]
  torch::Tensor v_weight, v_bias;
  torch::Tensor o_weight, o_bias;  // [D, H*K]
  torch::Tensor q_norm_K, k_norm_K;

  // int64 [H] on the model's device: the KV head of each query head. Undefined when the mapping is the regular one (head i
  // reads i / (H/G)); see SetKvIndex. Not a weight.
  torch::Tensor kv_index_H;
  // Optional: q, k and v laid end to end, [(H+2G)*K, D] and [(H+2G)*K]. When defined the forward pass uses these (one
  // matrix product instead of three) and does not look at q_weight, k_weight, v_weight, which are then views of them: the
  // fused tensor is the autograd leaf. A trainer that lays its weights out in one flat buffer gets this for nothing.
  torch::Tensor qkv_weight, qkv_bias;
};
struct FfnWeights {
  torch::Tensor input_norm_D;  // post_attention_layernorm
  torch::Tensor gate_weight, gate_bias;  // [F, D]
  torch::Tensor up_weight, up_bias;
  torch::Tensor down_weight, down_bias;  // [D, F]
  // Optional: gate and up laid end to end, [2F, D] and [2F]; as qkv_weight.
  torch::Tensor gate_up_weight, gate_up_bias;
};
struct LayerWeights {
  AttentionWeights attention;
  FfnWeights ffn;
};

struct LanguageModel {
  ModelConfig config;
  torch::Tensor embedding_VD;
  std::vector<LayerWeights> layers;
  torch::Tensor final_norm_D;
  torch::Tensor head_VD;  // the same tensor as embedding_VD when tied

  torch::Device device() const { return embedding_VD.device(); }
};

// Copies the folder's tensors to the device as `dtype` (bf16 or fp32). A NaN or infinite weight is refused with its
// tensor's name.
absl::StatusOr<std::unique_ptr<LanguageModel>> LoadLanguageModel(const checkpoint::ModelFolder& folder, torch::Device device,
                                                                 torch::ScalarType dtype);

// Fills kv_index_H of every layer from config.layers (one copy to the device for all of them).
void SetKvIndex(LanguageModel& model);

// True when head i of the shape reads KV head i / (heads / KV heads), so that grouped attention needs no index.
bool HasRegularHeads(const LayerShape& shape);

// The weights by Hugging Face name, in a fixed order (embedding, layers, final norm, head), undefined ones left out; the
// tied head is not repeated. For optimisers, exports and counting.
std::vector<std::pair<std::string, torch::Tensor>> NamedTensors(const LanguageModel& model);

}  // namespace espalier
