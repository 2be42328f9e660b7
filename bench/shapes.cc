#include "bench/shapes.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"

namespace espalier::bench {
namespace {

ModelConfig Llama(int layers, int hidden, int heads, int kv_heads, int head_size, int ffn, int vocabulary, bool tied) {
  ModelConfig config;
  config.vocabulary_size = vocabulary;
  config.hidden_size = hidden;
  config.num_layers = layers;
  config.num_heads = heads;
  config.num_kv_heads = kv_heads;
  config.head_size = head_size;
  config.ffn_width = ffn;
  config.max_positions = 8192;
  config.rms_norm_epsilon = 1e-5;
  config.tied_embeddings = tied;
  config.layers.assign(layers, DenseLayer(config));
  return config;
}

}  // namespace

absl::StatusOr<ModelConfig> NamedShape(const std::string& name) {
  if (name == "tiny") return Llama(8, 192, 6, 2, 32, 512, 4096, true);
  if (name == "small") return Llama(12, 384, 12, 4, 32, 1024, 4096, true);
  if (name == "llama-2-7b-8-layers") return Llama(8, 4096, 32, 32, 128, 11008, 32000, false);
  if (name == "llama-3.1-8b") return Llama(32, 4096, 32, 8, 128, 14336, 128256, false);
  return absl::InvalidArgumentError(
      absl::StrCat("no shape '", name, "': there are tiny, small, llama-2-7b-8-layers, llama-3.1-8b"));
}

ModelConfig Pruned(const ModelConfig& dense, double kept_share) {
  ModelConfig config = dense;
  for (LayerShape& layer : config.layers) {
    const int per_group = dense.heads_per_group();
    layer.num_kv_heads = std::max(1, static_cast<int>(dense.num_kv_heads * kept_share));
    layer.head_to_kv.clear();
    for (int head = 0; head < layer.num_kv_heads * per_group; ++head) layer.head_to_kv.push_back(head / per_group);
    layer.ffn_width = std::max(32, static_cast<int>(dense.ffn_width * kept_share) / 32 * 32);
  }
  return config;
}

double TrainFlopsPerToken(const ModelConfig& config, int length) {
  double weights = static_cast<double>(config.vocabulary_size) * config.hidden_size;  // the head
  double attended = 0;
  for (const LayerShape& layer : config.layers) {
    const double query_width = static_cast<double>(layer.num_heads()) * config.head_size;
    const double kv_width = static_cast<double>(layer.num_kv_heads) * config.head_size;
    weights += config.hidden_size * (2 * query_width + 2 * kv_width + 3.0 * layer.ffn_width);
    attended += query_width * length;
  }
  return 6 * weights + 6 * attended;
}

std::string LlamaConfigJson(const ModelConfig& config) {
  nlohmann::ordered_json json;
  json["architectures"] = {"LlamaForCausalLM"};
  json["model_type"] = "llama";
  json["vocab_size"] = config.vocabulary_size;
  json["hidden_size"] = config.hidden_size;
  json["intermediate_size"] = config.ffn_width;
  json["num_hidden_layers"] = config.num_layers;
  json["num_attention_heads"] = config.num_heads;
  json["num_key_value_heads"] = config.num_kv_heads;
  json["head_dim"] = config.head_size;
  json["max_position_embeddings"] = config.max_positions;
  json["rms_norm_eps"] = config.rms_norm_epsilon;
  json["rope_theta"] = config.rope.theta;
  json["tie_word_embeddings"] = config.tied_embeddings;
  json["hidden_act"] = "silu";
  json["attention_bias"] = false;
  json["mlp_bias"] = false;
  json["dtype"] = "bfloat16";
  return json.dump(2) + "\n";
}

}  // namespace espalier::bench
