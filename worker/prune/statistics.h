// What the dense model's activations say about the columns of one layer's output projections.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <stop_token>

#include "absl/status/statusor.h"
#include "worker/model/language_model.h"

namespace espalier {

// Second moments H = (2/N) * sum over tokens of x x^T, in fp32 (TF32 off), of what enters the attention output projection
// (n = H*K columns) and the FFN down projection (n = F). Not damped. tr(E H E^T) / 2 is then the mean squared output error
// per token of a weight change E.
struct LayerStatistics {
  int layer = 0;
  int64_t num_tokens = 0;
  torch::Tensor attention_moment_nn;
  torch::Tensor ffn_moment_nn;
};

// `done` of `total` of the work that the word names ("calibrate": tokens; "eliminate": columns). Must not block.
using BankProgress = std::function<void(const char* step, int64_t done, int64_t total)>;

struct CalibrationOptions {
  int64_t tokens_per_batch = 0;     // rounded to whole windows; 0: 8,192 on CUDA, 2,048 on CPU
  int64_t hidden_memory_bytes = 0;  // hidden states beyond this stay in host memory; 0: no limit
};

// Holds the hidden states of all calibration windows at the door of one layer and advances them layer by layer, so that a
// worker that builds layers 0, 1, 2, ... runs the model once over the tokens. Every layer's statistics are of the dense
// model: nothing pruned is ever put before a later layer. Confined to one thread.
class CalibrationPass {
 public:
  // tokens_NL: int64 [windows, L] on CPU, ids within the vocabulary. No token is copied to the device before Collect.
  static absl::StatusOr<std::unique_ptr<CalibrationPass>> Create(std::shared_ptr<const LanguageModel> dense, torch::Tensor tokens_NL,
                                                                 const CalibrationOptions& options);
  virtual ~CalibrationPass() = default;

  // Advances to the layer (from the embedding when it lies behind), runs it and stands at the next one afterwards.
  // kInvalidArgument for a layer out of range or an activation that is not finite (named), kCancelled, kResourceExhausted.
  // After an error the next call starts from the embedding.
  virtual absl::StatusOr<LayerStatistics> Collect(int layer, const BankProgress& progress, std::stop_token stop) = 0;

  // The layer that the held hidden states enter.
  virtual int position() const = 0;
};

}  // namespace espalier
