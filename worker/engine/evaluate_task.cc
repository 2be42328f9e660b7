// Evaluates a mask: assembles it, goes on from its retained state or replays what is gone, trains, scores, retains.
#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "worker/engine/candidate.h"
#include "worker/engine/number_format.h"
#include "worker/engine/perplexity.h"
#include "worker/engine/tasks.h"
#include "worker/engine/train_candidate.h"
#include "worker/model/device_runtime.h"

namespace espalier {
namespace {

absl::Status CheckEvaluate(const TaskRun& run, const EvaluateTask& task) {
  ESPALIER_RETURN_IF_ERROR(CheckMask(run.context.ladder, task.mask, task.mask_digest));
  if (task.stream.begin < 0 || task.stream.end < task.stream.begin) {
    return absl::InvalidArgumentError(
        absl::StrCat("the training stream's range [", task.stream.begin, ", ", task.stream.end, ") is none"));
  }
  if (task.stream.end > 0 && task.tokens_per_step < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("tokens_per_step is ", task.tokens_per_step, "; at least 1 is needed"));
  }
  return absl::OkStatus();
}

void MarkInfeasible(const std::string& reason, Measurement& measurement) {
  measurement.feasible = false;
  measurement.infeasible_reason = reason;
}

}  // namespace

absl::Status ScoreCandidate(TaskRun& run, const LanguageModel& model, const WindowKey& key, int64_t windows,
                            Measurement& measurement) {
  const Stopwatch stopwatch;
  ESPALIER_ASSIGN_OR_RETURN(const auto teacher, run.Teacher(key, windows));
  ESPALIER_ASSIGN_OR_RETURN(const ScoreResult score,
                            ScoreAgainstDense(model, *teacher, run.batching(), run.score_progress()));
  measurement.fitness = score.MeanKl();
  measurement.standard_error = score.StandardErrorOfKl();
  measurement.window_fitness.assign(score.window_kl.begin(), score.window_kl.end());
  measurement.loss = score.MeanNll();
  measurement.scored_tokens += score.tokens;
  measurement.score_seconds += stopwatch.Seconds();
  if (!std::isfinite(measurement.fitness) || !std::isfinite(measurement.loss)) {
    MarkInfeasible("the outputs on the score windows are not finite", measurement);
  }
  return absl::OkStatus();
}

absl::StatusOr<Measurement> RunEvaluate(TaskRun& run, const EvaluateTask& task) {
  ESPALIER_RETURN_IF_ERROR(CheckEvaluate(run, task));
  ResetPeakDeviceBytes(run.parts.device);
  Measurement measurement;
  ESPALIER_ASSIGN_OR_RETURN(TrainedCandidate candidate, TrainCandidate(run, task, measurement));
  measurement.parameters = CountParameters(candidate.model->config);
  if (measurement.feasible) {
    const LanguageModel* model = candidate.model.get();
    LanguageModel rounded;
    // Trained weights; what came from the bank and the dense model is in the number format already.
    const NumberFormat format = run.dense->config.number_format;
    if (candidate.trainer != nullptr && format != NumberFormat::kFloat32 && run.parts.dtype != ScalarTypeOf(format)) {
      rounded = RoundedCopy(*model, format, run.parts.dtype);
      model = &rounded;
    }
    ESPALIER_RETURN_IF_ERROR(ScoreCandidate(run, *model, task.score, task.score_windows, measurement));
    if (task.measure_perplexity && measurement.feasible) {
      ESPALIER_ASSIGN_OR_RETURN(measurement.perplexity, EvaluationPerplexity(run, *model));
      ESPALIER_ASSIGN_OR_RETURN(measurement.dense_perplexity, DensePerplexity(run));
      if (!std::isfinite(measurement.perplexity)) MarkInfeasible("the perplexity is not finite", measurement);
    }
  }
  measurement.peak_bytes = PeakDeviceBytes(run.parts.device);
  if (measurement.feasible && candidate.trainer != nullptr) {
    // A state that was only looked at stays under its own name.
    const bool is_unchanged = task.stream.begin == task.stream.end;
    const std::optional<StateKey>& name = task.retain.has_value() ? task.retain
                                          : is_unchanged          ? task.resume
                                                                  : task.retain;
    if (name.has_value()) {
      if (!is_unchanged) ESPALIER_RETURN_IF_ERROR(candidate.trainer->RoundAsRetained(task.continue_state));
      run.parts.states.Retain(*name, task.continue_state, std::move(candidate));
    } else if (!run.parts.states.IsTight()) {
      run.parts.warm_trainers.Keep(task, std::move(candidate));
    }
  }
  return measurement;
}

}  // namespace espalier
