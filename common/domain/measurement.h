// What one evaluation measured.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace espalier {

struct Measurement {
  bool feasible = true;
  std::string infeasible_reason;  // when not feasible: why this mask cannot be run

  double fitness = 0;         // mean KL divergence from the dense model, nats per token; lower is better
  double standard_error = 0;  // over windows; 0 for one window
  std::vector<float> window_fitness;  // per score window, for paired differences
  double loss = 0;            // mean negative log-likelihood over the score windows, nats per token
  double first_train_loss = 0;
  double last_train_loss = 0;

  // Only when the task asked for it: over the evaluation token file.
  double perplexity = 0;
  double dense_perplexity = 0;

  int64_t trained_tokens = 0;
  int64_t replayed_tokens = 0;  // trained again because a retained state was gone
  int64_t scored_tokens = 0;
  int64_t parameters = 0;
  double assemble_seconds = 0;
  double train_seconds = 0;
  double score_seconds = 0;
  int64_t peak_bytes = 0;  // of device memory; 0 on CPU
};

// Mean and standard error of the paired differences a - b of per-window fitness (same windows, same order).
struct PairedDifference {
  double mean = 0;
  double standard_error = 0;
};
PairedDifference ComparePaired(const Measurement& a, const Measurement& b);

}  // namespace espalier
