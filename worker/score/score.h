// Scoring: how far a candidate is from the dense model, and perplexity. The dense model's final hidden states are cached,
// not its logits; both vocabularies' logits are formed for a few rows at a time, in fp32, and summed in double.
// Batch shapes are a function of the dense config, the window length and the kind of device only, never of the candidate or
// of what runs beside it: with one CPU thread, equal inputs give bitwise equal results.
// Shape letters: W windows, L window length, D hidden, V vocabulary. A window of L tokens has L-1 predictions.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/model/forward.h"
#include "worker/model/language_model.h"
#include "worker/score/log_probability_cache.h"

namespace espalier {

struct ScoreBatching {
  int64_t windows_per_batch = 1;
  int64_t rows_per_chunk = 256;  // positions whose logits are held at once
};
ScoreBatching ScoreBatchingFor(const ModelConfig& dense, int64_t window_length, torch::Device device);

// Called after each batch with tokens queued so far and in all; false stops with kCancelled. May be empty.
using ScoreProgress = std::function<bool(int64_t done_tokens, int64_t total_tokens)>;

// The dense model on the score windows: made once, shared by all candidates of a draw. May be shared by threads.
struct TeacherStates {
  torch::Tensor tokens_WL;   // int64
  torch::Tensor hidden_WLD;  // after the final norm, in the model's dtype
  torch::Tensor head_VD;     // the dense head, shared with the model
  RotaryTables rotary;       // of the windows' length, for every candidate of the model
  std::shared_ptr<LogProbabilityCache> log_probabilities;  // filled by the first candidate that is scored
  int64_t bytes() const;  // without the log-probabilities, which take LogProbabilityCache::kMaxBytes at most
};
absl::StatusOr<TeacherStates> MakeTeacherStates(const LanguageModel& dense, const torch::Tensor& tokens_WL,
                                                const ScoreBatching& batching, const ScoreProgress& progress);

struct ScoreResult {
  std::vector<double> window_kl;   // mean KL(dense || candidate) in nats per prediction; empty when not asked for
  std::vector<double> window_nll;  // mean negative log-likelihood in nats per prediction
  int64_t tokens = 0;              // input tokens
  double MeanKl() const;
  double StandardErrorOfKl() const;  // over windows; 0 for one window
  double MeanNll() const;
  double Perplexity() const;  // exp(MeanNll())
};

// KL to the dense model and loss of the candidate. kCancelled when stopped; kResourceExhausted when the device is out of
// memory; kInternal otherwise. A loss that is not finite is no error here.
absl::StatusOr<ScoreResult> ScoreAgainstDense(const LanguageModel& candidate, const TeacherStates& teacher,
                                              const ScoreBatching& batching, const ScoreProgress& progress);

// Loss alone.
absl::StatusOr<ScoreResult> ScoreLoss(const LanguageModel& model, const torch::Tensor& tokens_WL, const ScoreBatching& batching,
                                      const ScoreProgress& progress);

// For units scored alone: the dense hidden states that enter `to`, from those that enter `from`, over all windows. Start
// with from == 0 and an undefined `entering_WLD` (the embeddings of the teacher's tokens).
absl::StatusOr<torch::Tensor> DenseStatesEntering(const LanguageModel& dense, const TeacherStates& teacher,
                                                  const torch::Tensor& entering_WLD, int from, int to,
                                                  const ScoreBatching& batching, const ScoreProgress& progress);

// As ScoreAgainstDense for a candidate whose layers before `layer` are the dense ones: goes on from the dense hidden states
// that enter `layer` (AssembleWithLayer makes such candidates).
absl::StatusOr<ScoreResult> ScoreFromLayer(const LanguageModel& candidate, int layer, const torch::Tensor& entering_WLD,
                                           const TeacherStates& teacher, const ScoreBatching& batching,
                                           const ScoreProgress& progress);

}  // namespace espalier
