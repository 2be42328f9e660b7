// Finishes a job: recovers the winner, scores it, exports it and proves the export.
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "worker/engine/candidate.h"
#include "worker/engine/export_model.h"
#include "worker/engine/number_format.h"
#include "worker/engine/perplexity.h"
#include "worker/engine/recovery.h"
#include "worker/engine/tasks.h"
#include "worker/engine/train_candidate.h"
#include "worker/engine/train_plan.h"
#include "worker/model/device_runtime.h"

namespace espalier {
namespace {

// The winner's trained weights with a fresh optimiser: the recovery has a schedule of its own.
absl::StatusOr<TrainState> StartState(TaskRun& run, const FinishTask& task, Measurement& measurement) {
  std::optional<TrainState> state = run.parts.states.Copy(*task.start);
  if (!state.has_value()) {
    if (!task.start_evaluation.has_value()) {
      return absl::FailedPreconditionError(
          absl::StrCat("the trained state of mask ", task.start->mask_digest, " at position ", task.start->position,
                       " of ", task.start->stream, " is gone, and the task does not say how it was reached"));
    }
    EvaluateTask replay = *task.start_evaluation;
    replay.stream.begin = replay.stream.end;  // all of it is a replay
    replay.resume.reset();
    ESPALIER_ASSIGN_OR_RETURN(const TrainedCandidate trained, TrainCandidate(run, replay, measurement));
    if (trained.trainer == nullptr || !measurement.feasible) {
      return absl::FailedPreconditionError("the winner's training could not be repeated: " +
                                           measurement.infeasible_reason);
    }
    ESPALIER_ASSIGN_OR_RETURN(state, trained.trainer->Save(replay.continue_state));
  }
  ForgetTraining(*state);
  return *std::move(state);
}

absl::StatusOr<TrainedCandidate> MakeFinalCandidate(TaskRun& run, const FinishTask& task, Measurement& measurement) {
  const Stopwatch assembling;
  run.progress.Begin("assemble", 0);
  std::optional<TrainState> start;
  if (task.start.has_value()) {
    ESPALIER_ASSIGN_OR_RETURN(start, StartState(run, task, measurement));
  }
  TrainedCandidate candidate;
  const CandidatePlan plan = PlanCandidate(run, TrainingOf(task));
  ESPALIER_ASSIGN_OR_RETURN(candidate.model,
                            AssembleMask(run, task.bank, task.mask, plan.bank, PieceUpload::Contents::kCopied));
  measurement.parameters = CountParameters(candidate.model->config);
  if (task.recovery.tokens > 0) ESPALIER_RETURN_IF_ERROR(CheckTrainingFits(run, candidate.model->config));
  if (task.recovery.tokens > 0 || start.has_value()) {
    ESPALIER_RETURN_IF_ERROR(AddTrainer(run, task.recovery.train, plan.trainer, candidate));
  }
  if (start.has_value()) ESPALIER_RETURN_IF_ERROR(candidate.trainer->Restore(*start));
  measurement.assemble_seconds = assembling.Seconds();
  if (task.recovery.tokens == 0) return candidate;

  ESPALIER_RETURN_IF_ERROR(Recover(run, task, candidate, measurement));
  if (!measurement.feasible) {
    DropRecoveryCheckpoint(run, task);
    return absl::FailedPreconditionError(absl::StrCat("the recovery failed: ", measurement.infeasible_reason,
                                                      "; a lower learning rate than ",
                                                      task.recovery.train.learning_rate, " may help"));
  }
  return candidate;
}

}  // namespace

absl::StatusOr<FinishOutcome> RunFinish(TaskRun& run, const FinishTask& task) {
  ESPALIER_RETURN_IF_ERROR(CheckMask(run.context.ladder, task.mask, task.mask_digest));
  if (task.recovery.tokens > 0 && task.recovery.tokens_per_step < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("the recovery's tokens_per_step is ", task.recovery.tokens_per_step));
  }
  ResetPeakDeviceBytes(run.parts.device);
  FinishOutcome outcome;
  LanguageModel finished;
  {
    ESPALIER_ASSIGN_OR_RETURN(TrainedCandidate candidate, MakeFinalCandidate(run, task, outcome.measurement));
    // The trainer's memory is needed for the proof.
    finished = RoundedCopy(*candidate.model, run.dense->config.number_format, run.parts.dtype);
    candidate.trainer.reset();
  }
  if (task.score_windows > 0) {
    ESPALIER_RETURN_IF_ERROR(ScoreCandidate(run, finished, task.score, task.score_windows, outcome.measurement));
  }
  ESPALIER_ASSIGN_OR_RETURN(outcome.kept, KeptUnits(run, task.bank, task.mask));
  ESPALIER_ASSIGN_OR_RETURN(const ExportProof proof, ExportModel(run, finished, task.provenance_json, outcome.files));
  outcome.export_max_logit_difference = proof.max_logit_difference;
  outcome.measurement.perplexity = proof.perplexity;
  ESPALIER_ASSIGN_OR_RETURN(outcome.measurement.dense_perplexity, DensePerplexity(run));
  outcome.measurement.peak_bytes = PeakDeviceBytes(run.parts.device);
  if (task.recovery.tokens > 0) DropRecoveryCheckpoint(run, task);
  return outcome;
}

}  // namespace espalier
