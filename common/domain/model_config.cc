#include "common/domain/model_config.h"

namespace espalier {

LayerShape DenseLayer(const ModelConfig& config) {
  LayerShape layer;
  layer.head_to_kv.reserve(config.num_heads);
  for (int head = 0; head < config.num_heads; ++head) layer.head_to_kv.push_back(head / config.heads_per_group());
  layer.num_kv_heads = config.num_kv_heads;
  layer.ffn_width = config.ffn_width;
  return layer;
}

int64_t AttentionParameters(const ModelConfig& config, const LayerShape& layer) {
  if (layer.num_heads() == 0) return 0;
  const int64_t hidden = config.hidden_size;
  const int64_t query_width = int64_t{layer.num_heads()} * config.head_size;
  const int64_t kv_width = int64_t{layer.num_kv_heads} * config.head_size;
  int64_t count = hidden * (query_width + 2 * kv_width) + query_width * hidden + hidden;  // q, k, v, output, input norm
  if (config.qkv_bias) count += query_width + 2 * kv_width;
  if (config.output_bias) count += hidden;
  if (config.qk_norm) count += 2 * int64_t{config.head_size};
  return count;
}

int64_t FfnParameters(const ModelConfig& config, const LayerShape& layer) {
  if (layer.ffn_width == 0) return 0;
  const int64_t hidden = config.hidden_size;
  const int64_t width = layer.ffn_width;
  int64_t count = 3 * hidden * width + hidden;  // gate, up, down, norm
  if (config.ffn_bias) count += 2 * width + hidden;
  return count;
}

int64_t CountParameters(const ModelConfig& config) {
  const int64_t embeddings = int64_t{config.vocabulary_size} * config.hidden_size;
  int64_t count = embeddings * (config.tied_embeddings ? 1 : 2) + config.hidden_size;  // and the final norm
  for (const LayerShape& layer : config.layers)
    count += AttentionParameters(config, layer) + FfnParameters(config, layer);
  return count;
}

const char* Name(Family family) {
  switch (family) {
    case Family::kLlama: return "llama";
    case Family::kMistral: return "mistral";
    case Family::kQwen2: return "qwen2";
    case Family::kQwen3: return "qwen3";
  }
  return "unknown";
}

const char* Name(NumberFormat format) {
  switch (format) {
    case NumberFormat::kFloat32: return "float32";
    case NumberFormat::kFloat16: return "float16";
    case NumberFormat::kBFloat16: return "bfloat16";
  }
  return "unknown";
}

int64_t BytesPerParameter(NumberFormat format) { return format == NumberFormat::kFloat32 ? 4 : 2; }

}  // namespace espalier
