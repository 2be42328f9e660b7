// Brings a candidate to the position of the training stream that a task asks for.
#pragma once

#include "absl/status/statusor.h"
#include "common/domain/measurement.h"
#include "worker/engine/engine_parts.h"
#include "worker/engine/state_store.h"

namespace espalier {

// From the retained state when it is held, else from the bank's weights and the whole stream before `begin` (a replay);
// takes the same steps and roundings either way, so on CPU the weights are bitwise equal. Without anything to train the
// trainer is null. Fills the training part of the measurement and assemble_seconds; losses that are not finite make it
// infeasible. kCancelled when stopped.
absl::StatusOr<TrainedCandidate> TrainCandidate(TaskRun& run, const EvaluateTask& task, Measurement& measurement);

// A trainer for an assembled candidate.
absl::Status AddTrainer(TaskRun& run, const TrainSettings& settings, const TrainerOptions& options, TrainedCandidate& candidate);

// Scores on windows of a key against the dense model and fills the scoring part of the measurement; outputs that are
// not finite make it infeasible.
absl::Status ScoreCandidate(TaskRun& run, const LanguageModel& model, const WindowKey& key, int64_t windows,
                            Measurement& measurement);

}  // namespace espalier
