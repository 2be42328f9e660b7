// What a training run gets: its data, with the dense model's hidden states where the loss needs them, and how it uses
// the device's memory.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "worker/engine/engine_parts.h"
#include "worker/train/trainer.h"

namespace espalier {

// Keeps alive what TrainData refers to.
struct TrainSource {
  TrainData data;
  std::shared_ptr<const StreamRows> rows;
  std::shared_ptr<const TokenWindows> tokens;
};

// The windows of the range's stream up to the last of its stage ends (or its end). With a loss towards the dense model
// its hidden states are cached for all of them when they fit the plan's share of memory and windows are trained whole;
// else the dense model runs beside the candidate. Which of the two depends on the job's numbers only.
absl::StatusOr<TrainSource> MakeTrainSource(TaskRun& run, const StreamRange& range, Loss loss, int tokens_per_step);

// What of a task its memory depends on.
struct TrainingTask {
  Mask mask;
  bool is_trained = false;
  StreamRange stream;
  Loss loss = Loss::kKl;
  int tokens_per_step = 1024;
  int64_t score_windows = 0;
};
TrainingTask TrainingOf(const EvaluateTask& task);
TrainingTask TrainingOf(const FinishTask& task);

// The stream of a winner's recovery.
StreamRange RecoveryStream(const FinishTask& task);

// How the task's candidate trains here, on CPU with the defaults, and the room for it: what else lies on the device and
// is not needed makes place until the run ends. To be called before anything of the candidate is made, and when a
// retained one has been taken out.
struct CandidatePlan {
  TrainerOptions trainer;
  BankPlace bank = BankPlace::kDevice;
};
CandidatePlan PlanCandidate(TaskRun& run, const TrainingTask& task);

// kFailedPrecondition, with the numbers, when even the leanest plan for training this candidate is beyond the device.
absl::Status CheckTrainingFits(const TaskRun& run, const ModelConfig& candidate);

}  // namespace espalier
