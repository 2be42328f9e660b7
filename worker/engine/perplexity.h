// Perplexity over evaluation windows: one function for search, export proof and the `evaluate` command.
#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "worker/engine/engine_parts.h"

namespace espalier {

// Loss of the model over some windows of a file, whole windows only. Batch shapes follow from the model's dense shape,
// so a folder and the candidate it was exported from are run alike.
absl::StatusOr<ScoreResult> LossOverWindows(const LanguageModel& model, const TokenWindows& tokens,
                                            const std::vector<int64_t>& windows, const ScoreProgress& progress);

// Over the job's evaluation file (EvaluationWindows); without one, over as many windows of the report pool.
absl::StatusOr<double> EvaluationPerplexity(TaskRun& run, const LanguageModel& model);

// The same for the dense model, computed once.
absl::StatusOr<double> DensePerplexity(TaskRun& run);

}  // namespace espalier
