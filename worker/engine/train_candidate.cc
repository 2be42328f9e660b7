#include "worker/engine/train_candidate.h"

#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "common/base/status_macros.h"
#include "worker/engine/candidate.h"
#include "worker/engine/train_plan.h"

namespace espalier {
namespace {

// [begin, end) of the stream without an inner end of a stage at which a retained state would have been rounded.
struct Segment {
  int64_t begin = 0;
  int64_t end = 0;
};

std::vector<Segment> Segments(const EvaluateTask& task, int64_t start) {
  std::set<int64_t> cuts = {task.stream.begin, task.stream.end};  // what was replayed is counted apart
  if (task.continue_state != ContinueState::kFull)
    cuts.insert(task.stream.stage_ends.begin(), task.stream.stage_ends.end());
  std::vector<Segment> segments;
  for (const int64_t cut : cuts) {
    const int64_t begin = segments.empty() ? start : segments.back().end;
    if (cut > begin && cut <= task.stream.end) segments.push_back({begin, cut});
  }
  return segments;
}

absl::StatusOr<std::vector<Step>> StepsBetween(const TaskRun& run, const EvaluateTask& task, int64_t begin,
                                               int64_t end) {
  StreamRange range = task.stream;
  range.begin = begin;
  range.end = end;
  return StepsOf(range, run.tokens->num_windows, run.context.sequence_length, task.tokens_per_step);
}

// The candidate as it was retained; empty when nothing usable is held.
absl::StatusOr<std::optional<TrainedCandidate>> Resume(TaskRun& run, const EvaluateTask& task, const CandidatePlan& plan,
                                                       std::optional<StateStore::Held> held) {
  if (!held.has_value()) return std::nullopt;
  if (held->candidate.trainer != nullptr) {
    if (held->candidate.settings == task.train && held->candidate.dense == run.dense) return std::move(held->candidate);
    ESPALIER_ASSIGN_OR_RETURN(held->state, held->candidate.trainer->Save(ContinueState::kFull));
    held->candidate.trainer.reset();
    held->candidate.model.reset();
  }
  TrainedCandidate candidate;
  // The state has all weights.
  ESPALIER_ASSIGN_OR_RETURN(candidate.model,
                            AssembleMask(run, task.bank, task.mask, plan.bank, PieceUpload::Contents::kShapes));
  ESPALIER_RETURN_IF_ERROR(AddTrainer(run, task.train, plan.trainer, candidate));
  // A state of another shape cannot be this candidate's: as good as gone.
  const absl::Status restored = candidate.trainer->Restore(*held->state);
  if (absl::IsInvalidArgument(restored)) return std::nullopt;
  ESPALIER_RETURN_IF_ERROR(restored);
  return candidate;
}

// An earlier trainer of this mask with the assembled weights copied in; false when there is none that fits.
absl::StatusOr<bool> TrainAgain(TaskRun& run, const EvaluateTask& task, const LanguageModel& assembled,
                                TrainedCandidate& candidate) {
  std::optional<TrainedCandidate> warm = run.parts.warm_trainers.Take(task, run.dense.get());
  if (!warm.has_value()) return false;
  const absl::Status begun = warm->trainer->BeginAgain(assembled);
  if (absl::IsInvalidArgument(begun)) return false;
  ESPALIER_RETURN_IF_ERROR(begun);
  candidate = *std::move(warm);
  return true;
}

// Runs the trainer over the segments, until the end or until losses cease to be finite.
absl::Status TrainSegments(TaskRun& run, const EvaluateTask& task, int64_t start, Trainer& trainer,
                           Measurement& measurement) {
  ESPALIER_ASSIGN_OR_RETURN(const TrainSource source,
                            MakeTrainSource(run, task.stream, task.train.loss, task.tokens_per_step));
  int64_t schedule_steps = 0;
  if (task.schedule_tokens > 0) {
    ESPALIER_ASSIGN_OR_RETURN(const std::vector<Step> schedule, StepsBetween(run, task, 0, task.schedule_tokens));
    schedule_steps = static_cast<int64_t>(schedule.size());
  }
  run.progress.Begin("train", task.stream.end - start);
  bool is_first = true;
  for (const Segment& segment : Segments(task, start)) {
    ESPALIER_ASSIGN_OR_RETURN(const std::vector<Step> steps, StepsBetween(run, task, segment.begin, segment.end));
    const auto progress = [&](const TrainProgressReport& report) {
      run.progress.Update(segment.begin - start + report.tokens, report.loss);
    };
    ESPALIER_ASSIGN_OR_RETURN(const TrainResult result,
                              trainer.Run(steps, source.data, schedule_steps, progress, run.progress.stop()));
    run.progress.Update(segment.end - start, result.last_loss);
    const bool is_replay = segment.end <= task.stream.begin;
    (is_replay ? measurement.replayed_tokens : measurement.trained_tokens) += result.tokens;
    if (!result.finite) {
      measurement.feasible = false;
      measurement.infeasible_reason = result.infeasible_reason;
      return absl::OkStatus();
    }
    if (!is_replay && std::exchange(is_first, false)) measurement.first_train_loss = result.first_loss;
    if (!is_replay) measurement.last_train_loss = result.last_loss;
    if (segment.end < task.stream.end) ESPALIER_RETURN_IF_ERROR(trainer.RoundAsRetained(task.continue_state));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status AddTrainer(TaskRun& run, const TrainSettings& settings, const TrainerOptions& options,
                        TrainedCandidate& candidate) {
  ESPALIER_ASSIGN_OR_RETURN(candidate.trainer, Trainer::Create(candidate.model.get(), settings, options));
  candidate.settings = settings;
  candidate.dense = run.dense;
  return absl::OkStatus();
}

absl::StatusOr<TrainedCandidate> TrainCandidate(TaskRun& run, const EvaluateTask& task, Measurement& measurement) {
  const Stopwatch assembling;
  run.progress.Begin("assemble", 0);
  int64_t start = 0;
  TrainedCandidate candidate;
  std::optional<StateStore::Held> held;
  if (task.resume.has_value()) held = run.parts.states.Take(*task.resume);
  const CandidatePlan plan = PlanCandidate(run, TrainingOf(task));
  ESPALIER_ASSIGN_OR_RETURN(std::optional<TrainedCandidate> resumed, Resume(run, task, plan, std::move(held)));
  if (resumed.has_value()) {
    start = task.stream.begin;
    candidate = *std::move(resumed);
  } else {
    ESPALIER_ASSIGN_OR_RETURN(std::unique_ptr<LanguageModel> assembled, AssembleMask(run, task.bank, task.mask, plan.bank, PieceUpload::Contents::kCopied));
    bool is_ready = task.stream.end == 0;
    if (!is_ready) {
      ESPALIER_ASSIGN_OR_RETURN(is_ready, TrainAgain(run, task, *assembled, candidate));
    }
    if (candidate.model == nullptr) candidate.model = std::move(assembled);
    if (!is_ready) ESPALIER_RETURN_IF_ERROR(AddTrainer(run, task.train, plan.trainer, candidate));
  }
  measurement.assemble_seconds = assembling.Seconds();
  ESPALIER_RETURN_IF_ERROR(run.progress.CheckStop());
  if (task.stream.end > start) {
    const Stopwatch training;
    ESPALIER_RETURN_IF_ERROR(TrainSegments(run, task, start, *candidate.trainer, measurement));
    measurement.train_seconds = training.Seconds();
  }
  return candidate;
}

}  // namespace espalier
