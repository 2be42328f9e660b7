// The shapes that benchmarks run on, by name, and what a candidate of a share of one looks like.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "common/domain/model_config.h"

namespace espalier::bench {

// "small" (20M), "tiny" (4M), "llama-2-7b-8-layers", "llama-3.1-8b". kInvalidArgument lists the names.
absl::StatusOr<ModelConfig> NamedShape(const std::string& name);

// Every layer keeps this share of its KV groups (whole ones, at least one) and of its neurons (a multiple of 32).
ModelConfig Pruned(const ModelConfig& dense, double kept_share);

// Floating-point operations of training on one token in rows of `length`: two for each weight of a matrix product
// forward, four backward, and the causal half of attention's products. The embedding's look-up is none.
double TrainFlopsPerToken(const ModelConfig& config, int length);

// config.json of a Llama of this dense shape.
std::string LlamaConfigJson(const ModelConfig& config);

}  // namespace espalier::bench
