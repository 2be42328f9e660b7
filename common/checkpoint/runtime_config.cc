#include "common/checkpoint/runtime_config.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/domain/runtime_fit.h"

namespace espalier::checkpoint {
namespace {

using nlohmann::json;

const char* Architecture(Family family) {
  switch (family) {
    case Family::kLlama: return "LlamaForCausalLM";
    case Family::kMistral: return "MistralForCausalLM";
    case Family::kQwen2: return "Qwen2ForCausalLM";
    case Family::kQwen3: return "Qwen3ForCausalLM";
  }
  return "";
}

}  // namespace

absl::StatusOr<json> NemotronNasConfig(json own, const ModelConfig& candidate) {
  json config = WithNumbers(std::move(own), candidate, candidate.number_format);
  config["model_type"] = "nemotron-nas";
  config["architectures"] = {"DeciLMForCausalLM"};
  config["auto_map"] = {{"AutoConfig", "configuration_decilm.DeciLMConfig"}};
  // Llama's two switches, as vLLM reads them: attention_bias for the output projection, qkv_bias for the three others.
  config["attention_bias"] = candidate.output_bias;
  config["qkv_bias"] = candidate.qkv_bias;
  config["mlp_bias"] = candidate.ffn_bias;
  if (candidate.sliding_window > 0)
    config["max_position_embeddings"] = std::min(candidate.sliding_window, candidate.max_positions);
  json blocks = json::array();
  for (const LayerShape& layer : candidate.layers) {
    const bool no_attention = layer.num_heads() == 0, no_ffn = layer.ffn_width == 0;
    if (!no_attention) config["num_attention_heads"] = layer.num_heads();  // one number in all layers
    json attention = {{"no_op", no_attention}, {"replace_with_linear", false}, {"n_heads_in_group", nullptr}};
    if (!no_attention) attention["n_heads_in_group"] = layer.num_heads() / layer.num_kv_heads;
    json ffn = {{"no_op", no_ffn}, {"replace_with_linear", false}, {"ffn_mult", nullptr}};
    if (!no_ffn) {
      ESPALIER_ASSIGN_OR_RETURN(ffn["ffn_mult"], FfnMultOf(layer.ffn_width, candidate.hidden_size));
    }
    blocks.push_back({{"attention", attention}, {"ffn", ffn}});
  }
  config["block_configs"] = blocks;
  return config;
}

json AnyModelConfig(json own, const ModelConfig& candidate) {
  json config = WithNumbers(std::move(own), candidate, candidate.number_format);
  config["model_type"] = Name(candidate.family);
  config["architectures"] = {"AnyModel"};
  config["base_architecture"] = Architecture(candidate.family);
  SetSwitches(candidate, &config);
  if (candidate.family == Family::kQwen2 || candidate.family == Family::kQwen3)
    config["use_sliding_window"] = candidate.sliding_window > 0;
  json layers = LayerMapJson(candidate);
  if (!layers.empty()) {
    config["per_layer_config"] = std::move(layers);
    config["allow_global_per_layer_attribute_access"] = true;  // else transformers raises where servers read the scalar
  }
  return config;
}

}  // namespace espalier::checkpoint
