// What config.json says of a model: its family, its shape and the numbers that change the arithmetic. Plain values, no
// tensors. A dense checkpoint has equal layers; an exported one carries a shape of its own for each layer, so the same
// type describes both.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace espalier {

enum class Family { kLlama, kMistral, kQwen2, kQwen3 };
enum class NumberFormat { kFloat32, kFloat16, kBFloat16 };
enum class RopeType { kDefault, kLinear, kLlama3 };

struct RopeConfig {
  RopeType type = RopeType::kDefault;
  double theta = 10000.0;
  double factor = 1.0;             // kLinear, kLlama3
  double low_frequency_factor = 1.0;   // kLlama3
  double high_frequency_factor = 4.0;  // kLlama3
  int64_t original_max_positions = 8192;  // kLlama3
  bool operator==(const RopeConfig&) const = default;
};

// The widths of one layer as it is stored. Query head i of the layer reads KV head head_to_kv[i] of the layer.
struct LayerShape {
  std::vector<int> head_to_kv;  // one entry for each query head; empty: the attention unit is removed
  int num_kv_heads = 0;
  int ffn_width = 0;  // 0: the FFN unit is removed
  bool operator==(const LayerShape&) const = default;

  int num_heads() const { return static_cast<int>(head_to_kv.size()); }
};

struct ModelConfig {
  Family family = Family::kLlama;
  int vocabulary_size = 0;
  int hidden_size = 0;
  int num_layers = 0;
  int num_heads = 0;     // of the dense model
  int num_kv_heads = 0;  // of the dense model
  int head_size = 0;
  int ffn_width = 0;  // of the dense model
  int max_positions = 0;
  int sliding_window = 0;  // positions a token attends to; 0: all (see sequence_length.h)
  double rms_norm_epsilon = 1e-6;
  bool qkv_bias = false;
  bool output_bias = false;  // of the attention output projection
  bool ffn_bias = false;
  bool qk_norm = false;
  bool tied_embeddings = false;
  RopeConfig rope;
  NumberFormat number_format = NumberFormat::kBFloat16;
  std::vector<LayerShape> layers;  // size num_layers

  int heads_per_group() const { return num_heads / num_kv_heads; }
  bool operator==(const ModelConfig&) const = default;
};

// The shape of one dense layer: head i reads KV head i / heads_per_group.
LayerShape DenseLayer(const ModelConfig& config);

// Stored parameters, tied embeddings counted once; exact for dense and pruned shapes (a removed unit's norms, biases and
// q/k norms count nothing).
int64_t CountParameters(const ModelConfig& config);

// Of one layer's attention unit (projections, biases, q/k norms and its input norm) and FFN unit; 0 when removed.
int64_t AttentionParameters(const ModelConfig& config, const LayerShape& layer);
int64_t FfnParameters(const ModelConfig& config, const LayerShape& layer);

const char* Name(Family family);           // "llama", ... as in config.json's model_type
const char* Name(NumberFormat format);     // "float32", "float16", "bfloat16"
int64_t BytesPerParameter(NumberFormat format);

}  // namespace espalier
