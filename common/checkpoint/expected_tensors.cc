#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/checkpoint/model_folder.h"

namespace espalier::checkpoint {
namespace {

using Shapes = std::map<std::string, std::vector<int64_t>>;

void AddLinear(Shapes* shapes, const std::string& name, int64_t out, int64_t in, bool bias) {
  (*shapes)[name + ".weight"] = {out, in};
  if (bias) (*shapes)[name + ".bias"] = {out};
}

void AddAttention(Shapes* shapes, const std::string& layer, const ModelConfig& config, const LayerShape& shape) {
  const int64_t hidden = config.hidden_size;
  const int64_t query = int64_t{shape.num_heads()} * config.head_size;
  const int64_t key = int64_t{shape.num_kv_heads} * config.head_size;
  (*shapes)[layer + "input_layernorm.weight"] = {hidden};
  AddLinear(shapes, layer + "self_attn.q_proj", query, hidden, config.qkv_bias);
  AddLinear(shapes, layer + "self_attn.k_proj", key, hidden, config.qkv_bias);
  AddLinear(shapes, layer + "self_attn.v_proj", key, hidden, config.qkv_bias);
  AddLinear(shapes, layer + "self_attn.o_proj", hidden, query, config.output_bias);
  if (config.qk_norm) {
    (*shapes)[layer + "self_attn.q_norm.weight"] = {config.head_size};
    (*shapes)[layer + "self_attn.k_norm.weight"] = {config.head_size};
  }
}

void AddFfn(Shapes* shapes, const std::string& layer, const ModelConfig& config, const LayerShape& shape) {
  const int64_t hidden = config.hidden_size;
  const int64_t width = shape.ffn_width;
  (*shapes)[layer + "post_attention_layernorm.weight"] = {hidden};
  AddLinear(shapes, layer + "mlp.gate_proj", width, hidden, config.ffn_bias);
  AddLinear(shapes, layer + "mlp.up_proj", width, hidden, config.ffn_bias);
  AddLinear(shapes, layer + "mlp.down_proj", hidden, width, config.ffn_bias);
}

}  // namespace

Shapes ExpectedTensors(const ModelConfig& config) {
  Shapes shapes;
  shapes["model.embed_tokens.weight"] = {config.vocabulary_size, config.hidden_size};
  shapes["model.norm.weight"] = {config.hidden_size};
  if (!config.tied_embeddings) shapes["lm_head.weight"] = {config.vocabulary_size, config.hidden_size};
  for (size_t i = 0; i < config.layers.size(); ++i) {
    const LayerShape& shape = config.layers[i];
    const std::string layer = absl::StrCat("model.layers.", i, ".");
    if (shape.num_heads() > 0) AddAttention(&shapes, layer, config, shape);
    if (shape.ffn_width > 0) AddFfn(&shapes, layer, config, shape);
  }
  return shapes;
}

}  // namespace espalier::checkpoint
