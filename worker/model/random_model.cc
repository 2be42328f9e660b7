#include "worker/model/random_model.h"

#include <ATen/Context.h>
#include <ATen/core/Generator.h>
#include <ATen/ops/empty.h>

#include <cmath>

namespace espalier {
namespace {

using torch::Tensor;

class RandomTensors {
 public:
  RandomTensors(uint64_t seed, torch::Device device, torch::ScalarType dtype)
      : generator_(at::globalContext().defaultGenerator(device).clone()),
        options_(torch::TensorOptions().device(device).dtype(dtype)) {
    generator_.set_current_seed(seed);
  }

  Tensor Normal(at::IntArrayRef shape, double mean, double deviation) {
    return at::empty(shape, options_).normal_(mean, deviation, generator_);
  }
  Tensor Projection(int64_t outputs, int64_t inputs) {
    return Normal({outputs, inputs}, 0, 1 / std::sqrt(static_cast<double>(inputs)));
  }
  Tensor Norm(int64_t size) { return Normal({size}, 1, 0.1); }
  Tensor Bias(bool wanted, int64_t size) { return wanted ? Normal({size}, 0, 0.1) : Tensor(); }

 private:
  at::Generator generator_;
  torch::TensorOptions options_;
};

AttentionWeights RandomAttention(const ModelConfig& config, const LayerShape& shape, RandomTensors& random) {
  const int64_t D = config.hidden_size, K = config.head_size;
  const int64_t HK = shape.num_heads() * K, GK = shape.num_kv_heads * K;
  AttentionWeights weights;
  weights.input_norm_D = random.Norm(D);
  weights.q_weight = random.Projection(HK, D);
  weights.q_bias = random.Bias(config.qkv_bias, HK);
  weights.k_weight = random.Projection(GK, D);
  weights.k_bias = random.Bias(config.qkv_bias, GK);
  weights.v_weight = random.Projection(GK, D);
  weights.v_bias = random.Bias(config.qkv_bias, GK);
  weights.o_weight = random.Projection(D, HK);
  weights.o_bias = random.Bias(config.output_bias, D);
  if (config.qk_norm) {
    weights.q_norm_K = random.Norm(K);
    weights.k_norm_K = random.Norm(K);
  }
  return weights;
}

FfnWeights RandomFfn(const ModelConfig& config, const LayerShape& shape, RandomTensors& random) {
  const int64_t D = config.hidden_size, F = shape.ffn_width;
  FfnWeights weights;
  weights.input_norm_D = random.Norm(D);
  weights.gate_weight = random.Projection(F, D);
  weights.gate_bias = random.Bias(config.ffn_bias, F);
  weights.up_weight = random.Projection(F, D);
  weights.up_bias = random.Bias(config.ffn_bias, F);
  weights.down_weight = random.Projection(D, F);
  weights.down_bias = random.Bias(config.ffn_bias, D);
  return weights;
}

}  // namespace

ModelConfig SmallConfig(int num_layers, int hidden_size, int num_heads, int num_kv_heads, int head_size, int ffn_width,
                        int vocabulary_size) {
  ModelConfig config;
  config.vocabulary_size = vocabulary_size;
  config.hidden_size = hidden_size;
  config.num_layers = num_layers;
  config.num_heads = num_heads;
  config.num_kv_heads = num_kv_heads;
  config.head_size = head_size;
  config.ffn_width = ffn_width;
  config.max_positions = 4096;
  LayerShape shape;
  for (int head = 0; head < num_heads; ++head) shape.head_to_kv.push_back(head / config.heads_per_group());
  shape.num_kv_heads = num_kv_heads;
  shape.ffn_width = ffn_width;
  config.layers.assign(num_layers, shape);
  return config;
}

LanguageModel RandomLanguageModel(const ModelConfig& config, uint64_t seed, torch::Device device, torch::ScalarType dtype) {
  const torch::NoGradGuard no_grad;
  RandomTensors random(seed, device, dtype);
  LanguageModel model;
  model.config = config;
  model.embedding_VD = random.Normal({config.vocabulary_size, config.hidden_size}, 0, 0.02);
  for (const LayerShape& shape : config.layers) {
    LayerWeights layer;
    if (shape.num_heads() > 0) layer.attention = RandomAttention(config, shape, random);
    if (shape.ffn_width > 0) layer.ffn = RandomFfn(config, shape, random);
    model.layers.push_back(std::move(layer));
  }
  model.final_norm_D = random.Norm(config.hidden_size);
  model.head_VD = config.tied_embeddings ? model.embedding_VD : random.Projection(config.vocabulary_size, config.hidden_size);
  SetKvIndex(model);
  return model;
}

}  // namespace espalier
