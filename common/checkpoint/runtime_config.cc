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

// The numbers of the dense model, each in one spelling.
json Scalars(json config, const ModelConfig& candidate) {
  for (const char* key :
       {"_name_or_path", "auto_map", "base_model_type", "block_configs", "layer_types", "max_window_layers",
        "original_max_position_embeddings", "per_layer_config", "rope_parameters", "rope_scaling", "rope_theta",
        "torch_dtype", "use_sliding_window", "sliding_window"}) {
    config.erase(key);
  }
  config["dtype"] = Name(candidate.number_format);
  config["vocab_size"] = candidate.vocabulary_size;
  config["hidden_size"] = candidate.hidden_size;
  config["num_hidden_layers"] = candidate.num_layers;
  config["num_attention_heads"] = candidate.num_heads;
  config["num_key_value_heads"] = candidate.num_kv_heads;
  config["head_dim"] = candidate.head_size;
  config["intermediate_size"] = candidate.ffn_width;
  config["max_position_embeddings"] = candidate.max_positions;
  config["rms_norm_eps"] = candidate.rms_norm_epsilon;
  config["tie_word_embeddings"] = candidate.tied_embeddings;
  config["rope_parameters"] = RopeParametersJson(candidate.rope);
  config["hidden_act"] = "silu";
  return config;
}

}  // namespace

absl::StatusOr<json> NemotronNasConfig(json own, const ModelConfig& candidate) {
  json config = Scalars(std::move(own), candidate);
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
  json config = Scalars(std::move(own), candidate);
  config["model_type"] = Name(candidate.family);
  config["architectures"] = {"AnyModel"};
  config["base_architecture"] = Architecture(candidate.family);
  const bool family_has_switch = candidate.family == Family::kLlama || candidate.family == Family::kQwen3;
  config["attention_bias"] = family_has_switch && candidate.qkv_bias;
  config["mlp_bias"] = candidate.ffn_bias;
  config["sliding_window"] = candidate.sliding_window > 0 ? json(candidate.sliding_window) : json(nullptr);
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
