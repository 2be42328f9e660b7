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
};
struct FfnWeights {
  torch::Tensor input_norm_D;  // post_attention_layernorm
  torch::Tensor gate_weight, gate_bias;  // [F, D]
  torch::Tensor up_weight, up_bias;
  torch::Tensor down_weight, down_bias;  // [D, F]
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

// The weights by Hugging Face name, in a fixed order (embedding, layers, final norm, head), undefined ones left out; the
// tied head is not repeated. For optimisers, exports and counting.
std::vector<std::pair<std::string, torch::Tensor>> NamedTensors(const LanguageModel& model);

}  // namespace espalier
