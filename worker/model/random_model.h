// A model with random weights of a given shape, made on the device: tests, benchmarks, trial runs of large shapes.
#pragma once

#include <cstdint>

#include "worker/model/language_model.h"

namespace espalier {

// A dense configuration without biases or q/k norm; change its fields before use where a test wants more (call DenseLayer
// again for `layers` when the shape changes).
ModelConfig SmallConfig(int num_layers, int hidden_size, int num_heads, int num_kv_heads, int head_size, int ffn_width,
                        int vocabulary_size);

// Projections are normal with deviation 1/sqrt(inputs), embeddings with 1 / 50, norms 1 +- 0.1, biases 0 +- 0.1. A function
// of (config, seed, device kind).
LanguageModel RandomLanguageModel(const ModelConfig& config, uint64_t seed, torch::Device device, torch::ScalarType dtype);

}  // namespace espalier
