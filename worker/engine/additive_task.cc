// Scores one unit at every level, alone in the dense model. Layers before the unit's are the dense ones, so their
// hidden states are computed once for all units and levels and carried from task to task.
#include <cmath>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "worker/engine/tasks.h"
#include "worker/model/assemble.h"
#include "worker/model/device_runtime.h"

namespace espalier {
namespace {

// Stands for a level whose outputs are not finite: worse than anything that can be measured, and still a number to add
// up.
constexpr double kUnusableFitness = 1e6;

// The dense hidden states that enter the layer, advanced from where the last task left them.
absl::StatusOr<torch::Tensor> StatesEntering(TaskRun& run, const AdditiveUnitTask& task, const TeacherStates& teacher,
                                             int layer) {
  EnteringStates& entering = run.parts.entering;
  const std::string key = run.CacheKey(absl::StrCat(ToText(task.score), "/", task.score_windows));
  std::lock_guard lock(entering.mutex);
  const bool can_go_on = entering.key == key && entering.layer <= layer && entering.hidden_WLD.defined();
  const int from = can_go_on ? entering.layer : 0;
  const torch::Tensor start = can_go_on ? entering.hidden_WLD : torch::Tensor();
  if (can_go_on && from == layer) return start;
  entering.hidden_WLD = torch::Tensor();  // room for the next
  ESPALIER_ASSIGN_OR_RETURN(torch::Tensor hidden_WLD, DenseStatesEntering(*run.dense, teacher, start, from, layer,
                                                                          run.batching(), run.score_progress()));
  SynchronizeCurrentStream(run.parts.device);  // tasks on other streams read it next
  entering.key = key;
  entering.layer = layer;
  entering.hidden_WLD = hidden_WLD;
  return hidden_WLD;
}

}  // namespace

absl::StatusOr<AdditiveUnitOutcome> RunAdditiveUnit(TaskRun& run, const AdditiveUnitTask& task) {
  const std::vector<UnitLadder>& units = run.context.ladder.units;
  if (task.unit < 0 || task.unit >= static_cast<int>(units.size())) {
    return absl::InvalidArgumentError(
        absl::StrCat("unit ", task.unit, " is not on the ladder of ", units.size(), " units"));
  }
  const Stopwatch stopwatch;
  const UnitLadder& unit = units[task.unit];
  const int layer = unit.unit.layer;
  ESPALIER_ASSIGN_OR_RETURN(const auto bank, run.parts.banks.GetLayer(task.bank, layer, run.model_digest,
                                                                      run.dense->config, run.context.ladder));
  ESPALIER_ASSIGN_OR_RETURN(const auto teacher, run.Teacher(task.score, task.score_windows));
  ESPALIER_ASSIGN_OR_RETURN(const torch::Tensor entering_WLD, StatesEntering(run, task, *teacher, layer));

  AdditiveUnitOutcome outcome;
  outcome.fitness_by_level.push_back(0);
  const int64_t window_tokens = task.score_windows * run.context.sequence_length;
  run.progress.Begin("score", window_tokens * (unit.num_levels() - 1));
  for (int level = 1; level < unit.num_levels(); ++level) {
    const bool is_attention = unit.unit.kind == UnitKind::kAttention;
    ESPALIER_ASSIGN_OR_RETURN(const LayerPieces pieces,
                              bank->PiecesAt(run.dense->config, is_attention ? level : 0, is_attention ? 0 : level));
    ESPALIER_ASSIGN_OR_RETURN(const LanguageModel candidate, AssembleWithLayer(*run.dense, layer, pieces));
    const int64_t before = outcome.scored_tokens;
    const ScoreProgress progress = [&](int64_t done, int64_t) {
      run.progress.Update(before + done, 0);
      return !run.progress.stop_requested();
    };
    ESPALIER_ASSIGN_OR_RETURN(const ScoreResult score,
                              ScoreFromLayer(candidate, layer, entering_WLD, *teacher, run.batching(), progress));
    const double fitness = score.MeanKl();
    outcome.fitness_by_level.push_back(std::isfinite(fitness) ? fitness : kUnusableFitness);
    outcome.scored_tokens += score.tokens;
  }
  outcome.seconds = stopwatch.Seconds();
  return outcome;
}

}  // namespace espalier
