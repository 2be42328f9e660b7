// What a small job reads, for every test that searches without an engine. Free of the test framework: the simulation's program has it too.
#pragma once

#include "common/base/sha256.h"
#include "common/domain/job_inputs.h"

namespace espalier::testing {

// Layers of 4 heads in 2 groups, FFN 128: with 3 of them 6 units of 5 levels with HEAD, 15,625 masks.
inline JobInputs SmallInputs(int num_layers = 3) {
  JobInputs inputs;
  ModelConfig& dense = inputs.dense;
  dense.hidden_size = 32;
  dense.num_layers = num_layers;
  dense.num_heads = 4;
  dense.num_kv_heads = 2;
  dense.head_size = 8;
  dense.ffn_width = 128;
  dense.vocabulary_size = 64;
  dense.max_positions = 1024;
  dense.tied_embeddings = true;
  dense.layers.assign(dense.num_layers, DenseLayer(dense));
  inputs.model_digest = Sha256Hex("model");
  inputs.tokens_digest = Sha256Hex("tokens");
  inputs.num_tokens = int64_t{1024} * 4096;
  return inputs;
}

}  // namespace espalier::testing
