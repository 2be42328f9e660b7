// Shapes of known models, for counting.
#pragma once

#include "common/domain/model_config.h"

namespace espalier::testing {

inline ModelConfig MakeShape(int hidden, int layers, int heads, int kv_heads, int head_size, int ffn, int vocabulary,
                             bool tied) {
  ModelConfig config;
  config.hidden_size = hidden;
  config.num_layers = layers;
  config.num_heads = heads;
  config.num_kv_heads = kv_heads;
  config.head_size = head_size;
  config.ffn_width = ffn;
  config.vocabulary_size = vocabulary;
  config.tied_embeddings = tied;
  config.max_positions = 4096;
  config.layers.assign(layers, DenseLayer(config));
  return config;
}

inline ModelConfig Tiny() {
  ModelConfig config = MakeShape(192, 8, 6, 2, 32, 512, 4096, true);
  config.max_positions = 1024;
  return config;
}
inline ModelConfig Llama2_7B() { return MakeShape(4096, 32, 32, 32, 128, 11008, 32000, false); }
inline ModelConfig Llama31_8B() { return MakeShape(4096, 32, 32, 8, 128, 14336, 128256, false); }
inline ModelConfig Qwen25_14B() {
  ModelConfig config = MakeShape(5120, 48, 40, 8, 128, 13824, 152064, false);
  config.family = Family::kQwen2;
  config.qkv_bias = true;
  return config;
}

}  // namespace espalier::testing
