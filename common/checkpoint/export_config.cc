#include <nlohmann/json.hpp>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/checkpoint/export_folder.h"
#include "common/checkpoint/runtime_config.h"
#include "common/checkpoint/strict_json.h"
#include "common/domain/runtime_fit.h"

namespace espalier::checkpoint {
namespace {

using nlohmann::json;

// What differs from the dense layer. A removed unit carries no other key of its own.
json LayerEntry(const LayerShape& layer, const ModelConfig& dense) {
  json entry = json::object();
  if (layer.num_heads() == 0) {
    entry["skip"].push_back("attention");
  } else {
    if (layer.num_heads() != dense.num_heads) entry["num_attention_heads"] = layer.num_heads();
    if (layer.num_kv_heads != dense.num_kv_heads) entry["num_key_value_heads"] = layer.num_kv_heads;
    if (!SharesKvEvenly(layer)) entry["query_to_kv"] = layer.head_to_kv;
  }
  if (layer.ffn_width == 0) {
    entry["skip"].push_back("mlp");
  } else if (layer.ffn_width != dense.ffn_width) {
    entry["intermediate_size"] = layer.ffn_width;
  }
  return entry;
}

}  // namespace

json RopeParametersJson(const RopeConfig& rope) {
  json result = {{"rope_theta", rope.theta}, {"rope_type", "default"}};
  if (rope.type == RopeType::kDefault) return result;
  result["factor"] = rope.factor;
  result["rope_type"] = rope.type == RopeType::kLinear ? "linear" : "llama3";
  if (rope.type == RopeType::kLlama3) {
    result["low_freq_factor"] = rope.low_frequency_factor;
    result["high_freq_factor"] = rope.high_frequency_factor;
    result["original_max_position_embeddings"] = rope.original_max_positions;
  }
  return result;
}

json WithNumbers(json own, const ModelConfig& model, NumberFormat format) {
  json config = std::move(own);
  for (const char* key :
       {"_name_or_path", "auto_map", "base_model_type", "block_configs", "layer_types", "max_window_layers",
        "original_max_position_embeddings", "per_layer_config", "rope_parameters", "rope_scaling", "rope_theta",
        "torch_dtype", "use_sliding_window", "sliding_window"}) {
    config.erase(key);
  }
  config["dtype"] = Name(format);
  config["vocab_size"] = model.vocabulary_size;
  config["hidden_size"] = model.hidden_size;
  config["num_hidden_layers"] = model.num_layers;
  config["num_attention_heads"] = model.num_heads;
  config["num_key_value_heads"] = model.num_kv_heads;
  config["head_dim"] = model.head_size;
  config["intermediate_size"] = model.ffn_width;
  config["max_position_embeddings"] = model.max_positions;
  config["rms_norm_eps"] = model.rms_norm_epsilon;
  config["tie_word_embeddings"] = model.tied_embeddings;
  config["rope_parameters"] = RopeParametersJson(model.rope);
  config["hidden_act"] = "silu";
  return config;
}

void SetSwitches(const ModelConfig& model, json* config) {
  const bool family_has_switch = model.family == Family::kLlama || model.family == Family::kQwen3;
  (*config)["attention_bias"] = family_has_switch && model.qkv_bias;
  (*config)["mlp_bias"] = model.ffn_bias;
  (*config)["sliding_window"] = model.sliding_window > 0 ? json(model.sliding_window) : json(nullptr);
}

json LayerMapJson(const ModelConfig& candidate) {
  json layers = json::object();
  for (size_t i = 0; i < candidate.layers.size(); ++i) {
    json entry = LayerEntry(candidate.layers[i], candidate);
    if (!entry.empty()) layers[absl::StrCat(i)] = std::move(entry);
  }
  return layers;
}

absl::StatusOr<std::string> ExportConfigJson(const std::string& dense_config_json, const ModelConfig& dense,
                                             const ModelConfig& candidate, NumberFormat format) {
  ESPALIER_ASSIGN_OR_RETURN(json config, ParseStrictJson(dense_config_json, "config.json of the dense model", 32));
  if (!config.is_object()) return absl::InvalidArgumentError("config.json of the dense model is not a JSON object");
  if (candidate.layers.size() != static_cast<size_t>(dense.num_layers) || candidate.hidden_size != dense.hidden_size ||
      candidate.head_size != dense.head_size || candidate.vocabulary_size != dense.vocabulary_size ||
      candidate.family != dense.family) {
    return absl::InvalidArgumentError(absl::StrCat("the candidate (", candidate.layers.size(), " layers, hidden size ",
                                                   candidate.hidden_size, ") is not a pruned form of the dense model (",
                                                   dense.num_layers, " layers, hidden size ", dense.hidden_size, ")"));
  }
  config = WithNumbers(std::move(config), dense, format);
  config["model_type"] = "espalier";
  config["base_model_type"] = Name(dense.family);
  config["architectures"] = {"EspalierForCausalLM"};
  config["auto_map"] = {{"AutoConfig", "configuration_espalier.EspalierConfig"},
                        {"AutoModel", "modeling_espalier.EspalierModel"},
                        {"AutoModelForCausalLM", "modeling_espalier.EspalierForCausalLM"}};
  SetSwitches(dense, &config);
  json layers = LayerMapJson(candidate);
  if (!layers.empty()) config["per_layer_config"] = std::move(layers);
  return config.dump(2) + "\n";
}

}  // namespace espalier::checkpoint
