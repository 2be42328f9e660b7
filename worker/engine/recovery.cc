#include "worker/engine/recovery.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/artifacts/artifact_names.h"
#include "common/base/sha256.h"
#include "common/base/status_macros.h"
#include "worker/engine/train_plan.h"

namespace espalier {
namespace {

// Everything that the trained weights depend on beside the mask: a checkpoint of another recovery is not resumed.
std::string RecoveryIdentity(const TaskRun& run, const FinishTask& task) {
  const TrainSettings& train = task.recovery.train;
  std::string text =
      absl::StrCat(run.model_digest, "/", run.tokens->digest, "/", run.context.sequence_length, "/",
                   ToText(task.recovery_key), "/", task.recovery.tokens, "/", task.recovery.tokens_per_step);
  absl::StrAppend(&text, "/", static_cast<int>(train.loss), "/", train.learning_rate, "/", train.weight_decay, "/",
                  train.beta1, "/", train.beta2, "/", train.epsilon, "/", train.clip_norm, "/", train.warmup_steps, "/",
                  train.cosine_to);
  if (task.start.has_value()) absl::StrAppend(&text, "/", task.start->stream, "/", task.start->position);
  for (const std::string& digest : task.bank.layer_digests) absl::StrAppend(&text, "/", digest);
  return absl::StrCat("recovery/", Sha256Hex(text));
}

class RecoveryRun {
 public:
  RecoveryRun(TaskRun& run, const FinishTask& task, Trainer& trainer, Measurement& measurement)
      : run_(run),
        task_(task),
        options_(run.parts.recovery),
        trainer_(trainer),
        measurement_(measurement),
        name_(RecoveryCheckpointName(run.job_id, task.mask_digest)),
        identity_(RecoveryIdentity(run, task)) {}

  absl::Status TrainAll();

 private:
  // How many steps the checkpoint has behind it; 0 without a usable one.
  absl::StatusOr<size_t> ResumeFrom(const std::vector<Step>& steps);
  absl::Status SaveCheckpoint();
  size_t NextPiece(size_t left, double seconds_per_step) const;

  TaskRun& run_;
  const FinishTask& task_;
  const RecoveryOptions options_;
  Trainer& trainer_;
  Measurement& measurement_;
  const std::string name_;
  const std::string identity_;
  std::string checkpoint_;  // digest of the last one
  int64_t position_ = 0;    // tokens behind
};

int64_t TokensOf(const std::vector<Step>& steps, size_t begin, size_t end) {
  int64_t tokens = 0;
  for (size_t step = begin; step < end; ++step) {
    for (const Piece& piece : steps[step]) tokens += piece.length;
  }
  return tokens;
}

absl::StatusOr<size_t> RecoveryRun::ResumeFrom(const std::vector<Step>& steps) {
  const auto digest = run_.parts.artifacts->GetName(name_);
  if (!digest.ok()) return 0;
  // A checkpoint that cannot be read costs time, nothing else: the recovery starts anew.
  const auto bytes = run_.parts.artifacts->Get(*digest);
  if (!bytes.ok()) return 0;
  const auto state = TrainStateFromBytes(*bytes, *digest);
  if (!state.ok() || state->mask_digest != task_.mask_digest || state->stream != identity_) return 0;
  size_t done = 0;
  int64_t tokens = 0;
  while (done < steps.size() && tokens < state->position) tokens += TokensOf(steps, done, done + 1), ++done;
  if (tokens != state->position) return 0;
  const absl::Status restored = trainer_.Restore(*state);
  if (absl::IsInvalidArgument(restored)) return 0;
  ESPALIER_RETURN_IF_ERROR(restored);
  checkpoint_ = *digest;
  position_ = tokens;
  return done;
}

absl::Status RecoveryRun::SaveCheckpoint() {
  ESPALIER_ASSIGN_OR_RETURN(TrainState state, trainer_.Save(ContinueState::kFull));
  state.mask_digest = task_.mask_digest;
  state.stream = identity_;
  state.position = position_;
  ESPALIER_ASSIGN_OR_RETURN(const std::string digest, run_.parts.artifacts->Put(ToBytes(state)));
  ESPALIER_RETURN_IF_ERROR(run_.parts.artifacts->SetName(name_, digest));
  if (!checkpoint_.empty() && checkpoint_ != digest)
    ESPALIER_RETURN_IF_ERROR(run_.parts.artifacts->Remove(checkpoint_));
  checkpoint_ = digest;
  return absl::OkStatus();
}

// Pieces of about a tenth of the time between checkpoints: each costs a wait for the device.
size_t RecoveryRun::NextPiece(size_t left, double seconds_per_step) const {
  size_t steps = 16;
  if (options_.piece_steps > 0) {
    steps = static_cast<size_t>(options_.piece_steps);
  } else if (seconds_per_step > 0) {
    steps = static_cast<size_t>(std::clamp(options_.checkpoint_seconds / 10 / seconds_per_step, 1.0, 1e6));
  }
  return std::min(left, steps);
}

absl::Status RecoveryRun::TrainAll() {
  const StreamRange range = RecoveryStream(task_);
  ESPALIER_ASSIGN_OR_RETURN(
      const std::vector<Step> steps,
      StepsOf(range, run_.tokens->num_windows, run_.context.sequence_length, task_.recovery.tokens_per_step));
  ESPALIER_ASSIGN_OR_RETURN(const TrainSource source,
                            MakeTrainSource(run_, range, task_.recovery.train.loss, task_.recovery.tokens_per_step));
  ESPALIER_ASSIGN_OR_RETURN(size_t done, ResumeFrom(steps));
  run_.progress.BeginAt("train", position_, range.end);
  Stopwatch since_checkpoint;
  double seconds_per_step = 0;
  while (done < steps.size()) {
    const size_t count = NextPiece(steps.size() - done, seconds_per_step);
    const std::vector<Step> piece(steps.begin() + static_cast<int64_t>(done),
                                  steps.begin() + static_cast<int64_t>(done + count));
    const auto progress = [&](const TrainProgressReport& report) {
      run_.progress.Update(position_ + report.tokens, report.loss);
    };
    const int64_t steps_before = trainer_.steps_taken();
    const auto trained =
        trainer_.Run(piece, source.data, static_cast<int64_t>(steps.size()), progress, run_.progress.stop());
    if (absl::IsCancelled(trained.status()) && since_checkpoint.Seconds() >= options_.leaving_seconds) {
      position_ += TokensOf(piece, 0, static_cast<size_t>(trainer_.steps_taken() - steps_before));
      ESPALIER_RETURN_IF_ERROR(SaveCheckpoint());
    }
    ESPALIER_ASSIGN_OR_RETURN(const TrainResult result, trained);
    measurement_.train_seconds += result.seconds;
    if (!result.finite) {
      measurement_.feasible = false;
      measurement_.infeasible_reason = result.infeasible_reason;
      return absl::OkStatus();
    }
    if (done == 0) measurement_.first_train_loss = result.first_loss;
    measurement_.last_train_loss = result.last_loss;
    done += count;
    position_ += result.tokens;
    run_.progress.Update(position_, result.last_loss);
    seconds_per_step = result.seconds / static_cast<double>(count);
    if (done < steps.size() && since_checkpoint.Seconds() >= options_.checkpoint_seconds) {
      ESPALIER_RETURN_IF_ERROR(SaveCheckpoint());
      since_checkpoint.Restart();
    }
  }
  measurement_.trained_tokens = position_;
  return absl::OkStatus();
}

}  // namespace

std::string RecoveryCheckpointName(const std::string& job_id, const std::string& mask_digest) {
  return absl::StrCat(RecoveryNamePrefix(job_id), mask_digest);
}

absl::Status Recover(TaskRun& run, const FinishTask& task, TrainedCandidate& candidate, Measurement& measurement) {
  return RecoveryRun(run, task, *candidate.trainer, measurement).TrainAll();
}

void DropRecoveryCheckpoint(TaskRun& run, const FinishTask& task) {
  const std::string name = RecoveryCheckpointName(run.job_id, task.mask_digest);
  const auto digest = run.parts.artifacts->GetName(name);
  if (!digest.ok()) return;
  // What cannot be removed is only wasted space.
  run.parts.artifacts->RemoveName(name).IgnoreError();
  run.parts.artifacts->Remove(*digest).IgnoreError();
}

}  // namespace espalier
