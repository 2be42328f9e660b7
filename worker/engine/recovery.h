// Recovery: the winner's long training run. Its state goes to the artifacts every minute or so, so that any worker can
// go on after a kill; on CPU the result is bitwise that of a run that was never interrupted.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "common/domain/task.h"
#include "worker/engine/engine_parts.h"
#include "worker/engine/state_store.h"

namespace espalier {

// The name under which a job's recovery of a mask keeps its last checkpoint.
std::string RecoveryCheckpointName(const std::string& job_id, const std::string& mask_digest);

// Trains the candidate (with its trainer already made, and restored from `--start trained` where asked) over the
// recovery's tokens. Fills trained_tokens (of the whole recovery), the losses and train_seconds (of this attempt);
// losses that are not finite make the measurement infeasible. Resumes from the checkpoint when there is one of the same
// recovery; the checkpoint stays until DropRecoveryCheckpoint.
absl::Status Recover(TaskRun& run, const FinishTask& task, TrainedCandidate& candidate, Measurement& measurement);

void DropRecoveryCheckpoint(TaskRun& run, const FinishTask& task);

}  // namespace espalier
