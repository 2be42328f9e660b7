// From what a user asked for to what will be done: zeros filled in, everything checked against the inputs.
#include <algorithm>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/base/status_macros.h"
#include "common/domain/evaluation_windows.h"
#include "common/domain/job_presets.h"
#include "common/domain/sequence_length.h"
#include "coordinator/search/job_program.h"
#include "coordinator/search/preview.h"
#include "coordinator/search/resolve_check.h"
#include "coordinator/search/retained_states.h"
#include "coordinator/search/stage_plan.h"

namespace espalier {
namespace {

constexpr int64_t kMinWindows = 32;  // from here on every pool has a window

// Tokens of a pool's windows, at most `most` of them.
int64_t PoolTokens(Pool pool, int64_t num_windows, int64_t most, int sequence_length) {
  return std::min(PoolSize(pool, num_windows), most) * sequence_length;
}

// BALANCED as the preset has it fits itself to small files.
bool FitsItself(const JobSpec& spec) {
  return spec.preset == Preset::kBalanced && spec.phases == PresetSpec(Preset::kBalanced, spec.device).phases;
}

// At least kMinWindows.
int64_t WindowsNeededAtAll(const JobSpec& spec) {
  JobSpec rest = spec;
  if (FitsItself(spec)) rest.phases.clear();
  return std::max(kMinWindows, WindowsNeeded(rest));
}

absl::Status CheckInputs(const JobSpec& spec, const JobInputs& inputs) {
  ESPALIER_RETURN_IF_ERROR(CheckSequenceLength(inputs.dense, spec.sequence_length));
  const int64_t num_windows = inputs.num_tokens / spec.sequence_length;
  if (num_windows < kMinWindows) {
    return absl::InvalidArgumentError(absl::StrCat("tokens '", spec.tokens_path, "' holds ", inputs.num_tokens,
                                                   " tokens, ", num_windows, " windows of ", spec.sequence_length,
                                                   ": this job needs at least ",
                                                   WindowsNeededAtAll(spec) * spec.sequence_length, " tokens (",
                                                   WindowsNeededAtAll(spec), " windows)"));
  }
  if (inputs.evaluation_tokens > 0 || !spec.evaluation_path.empty()) {
    ESPALIER_RETURN_IF_ERROR(
        EvaluationWindows(inputs.evaluation_tokens, spec.sequence_length, spec.evaluation_windows).status());
  }
  return absl::OkStatus();
}

void CutToPools(int64_t num_windows, JobSpec* spec, std::vector<std::string>* warnings) {
  if (!FitsItself(*spec)) return;
  const int64_t train = PoolTokens(Pool::kTrain, num_windows, INT64_MAX / spec->sequence_length, spec->sequence_length);
  const int64_t score = PoolTokens(Pool::kScore, num_windows, INT64_MAX / spec->sequence_length, spec->sequence_length);
  bool is_cut = false;
  for (Phase& phase : spec->phases) {
    for (Stage& stage : phase.stages) {
      is_cut = is_cut || stage.train_tokens > train || stage.score_tokens > score;
      stage.train_tokens = std::min(stage.train_tokens, train);
      stage.score_tokens = std::min(stage.score_tokens, score);
    }
  }
  if (is_cut) {
    warnings->push_back(absl::StrCat("the token file is small: BALANCED's stages are cut to the ", train,
                                     " tokens of its train pool and the ", score, " of its score pool"));
  }
}

void FillTokens(int64_t num_windows, JobSpec* spec, std::vector<std::string>* warnings) {
  const bool is_cpu = spec->device == DeviceKind::kCpu;
  const int length = spec->sequence_length;
  if (spec->calibration_tokens == 0) {
    const int64_t usual = is_cpu ? 65'536 : 524'288;
    spec->calibration_tokens = std::min(usual, PoolTokens(Pool::kCalibrate, num_windows, INT64_MAX / length, length));
    if (spec->calibration_tokens < usual) {
      warnings->push_back(absl::StrCat("the token file is small: calibration reads the ", spec->calibration_tokens,
                                       " tokens of its pool instead of ", usual));
    }
  }
  if (spec->additive_score_tokens == 0)
    spec->additive_score_tokens = PoolTokens(Pool::kScore, num_windows, is_cpu ? 16 : 32, length);
  if (spec->play_off_score_tokens == 0)
    spec->play_off_score_tokens = PoolTokens(Pool::kSelect, num_windows, is_cpu ? 32 : 64, length);
  if (spec->report_score_tokens == 0) spec->report_score_tokens = PoolTokens(Pool::kReport, num_windows, 64, length);
  if (spec->recovery.tokens_per_step == 0) spec->recovery.tokens_per_step = 16 * length;
  if (spec->play_off.tokens_per_step == 0) spec->play_off.tokens_per_step = 2 * length;
}

void WarnOfEpochs(const char* what, int64_t tokens, int64_t num_windows, const JobSpec& spec,
                  std::vector<std::string>* warnings) {
  const int64_t pool = PoolSize(Pool::kTrain, num_windows) * spec.sequence_length;
  if (tokens > pool)
    warnings->push_back(absl::StrCat(what, " of ", tokens, " tokens repeats the ", pool, " tokens of the train pool"));
}

// The least a mask can cost, whichever heads go: whole KV groups first, so that most KV heads can be dropped.
absl::Status CheckGiven(const SearchPlan& plan) {
  if (plan.spec.first_parent != FirstParent::kGiven) return absl::OkStatus();
  ESPALIER_ASSIGN_OR_RETURN(const Mask mask, MaskFromRemoved(plan.ladder, plan.spec.given.removed));
  std::vector<int> order(plan.inputs.dense.num_heads);
  std::iota(order.begin(), order.end(), 0);
  const CostTable least =
      BuildCostTable(plan.inputs.dense, plan.ladder, plan.spec.cost, HeadOrders(plan.inputs.dense.num_layers, order));
  if (least.Of(mask) <= plan.target) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("first_parent: the given mask costs ", least.Of(mask), " ",
                                                 Name(plan.spec.cost.kind), " or more, above the target ", plan.target,
                                                 "; remove more or raise the target"));
}

int CountLevels(const Ladder& ladder) {
  int levels = 0;
  for (const UnitLadder& unit : ladder.units) levels += unit.num_levels();
  return levels;
}

// A runtime other than Hugging Face leaves only what its export can hold, before anything is spent.
void SayWhatRuntimeAllows(const SearchPlan& plan, std::vector<std::string>* warnings) {
  if (plan.spec.runtime == Runtime::kHuggingFace) return;
  const auto free = BuildLadder(plan.inputs.dense, plan.spec.ladder);
  warnings->push_back(absl::StrCat("runtime ", Name(plan.spec.runtime), " restricts the ladder to ",
                                   CountLevels(plan.ladder), " levels",
                                   free.ok() ? absl::StrCat(" of ", CountLevels(*free)) : "",
                                   "; every mask in it can be exported for that runtime (espalier export --runtime)"));
}

// What differs from the straight way should be known: a survivor goes on from rounded weights, without its moments.
void SayWhatIsRetained(const SearchPlan& plan, std::vector<std::string>* warnings) {
  if (plan.spec.mode != TrainMode::kContinue || plan.spec.continue_state == ContinueState::kFull) return;
  const auto gigabytes = [&](ContinueState state) { return static_cast<double>(RetainedBytes(plan, state)) / 1e9; };
  warnings->push_back(absl::StrFormat("continue_state is WEIGHTS_BF16: between stages a survivor keeps its weights in bfloat16 and no "
                                      "moments; a generation's states take %.1f GB so, FULL ones would take %.1f GB",
                                      gigabytes(ContinueState::kWeightsBFloat16), gigabytes(ContinueState::kFull)));
}

absl::Status CheckTokenBudget(const JobSpec& spec) {
  if (spec.stop.token_budget == 0 || GenerationsByPhase(spec).front() == 0) return absl::OkStatus();
  int64_t needed = TokensOfGeneration(spec, 0, false).train_tokens + 2 * spec.play_off.tokens;
  if (HasPatience(spec, spec.phases.front())) needed += 2 * spec.phases.front().stages.back().train_tokens;
  if (needed <= spec.stop.token_budget) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("stop.token_budget is ", spec.stop.token_budget,
                                                 ": one generation and the play-off need ", needed,
                                                 " tokens (0: no limit; generations 0 stops at the first parent)"));
}

}  // namespace

absl::StatusOr<JobPreview> ResolveJob(const JobSpec& spec, const JobInputs& inputs) {
  JobSpec resolved = spec;
  std::vector<std::string> warnings;
  if (resolved.phases.empty()) resolved.phases = PresetSpec(resolved.preset, resolved.device).phases;
  ESPALIER_RETURN_IF_ERROR(CheckSpec(resolved));
  const ModelConfig& dense = inputs.dense;
  const int most = dense.sliding_window > 0 ? std::min(dense.max_positions, dense.sliding_window) : dense.max_positions;
  resolved.sequence_length = ResolveSequenceLength(resolved.sequence_length, inputs.row_length, most);
  ESPALIER_RETURN_IF_ERROR(CheckInputs(resolved, inputs));
  const int64_t num_windows = inputs.num_tokens / resolved.sequence_length;
  CutToPools(num_windows, &resolved, &warnings);
  FillTokens(num_windows, &resolved, &warnings);
  ESPALIER_RETURN_IF_ERROR(CheckPools(resolved, num_windows));
  ESPALIER_RETURN_IF_ERROR(CheckTokenBudget(resolved));
  WarnOfEpochs("recovery", resolved.recovery.tokens, num_windows, resolved, &warnings);
  if (GenerationsByPhase(resolved).front() > 0)
    WarnOfEpochs("the play-off's recovery", resolved.play_off.tokens, num_windows, resolved, &warnings);
  ESPALIER_ASSIGN_OR_RETURN(const SearchPlan plan, MakeSearchPlan("preview", resolved, inputs));
  SayWhatIsRetained(plan, &warnings);
  SayWhatRuntimeAllows(plan, &warnings);
  ESPALIER_RETURN_IF_ERROR(CheckGiven(plan));
  return Preview(plan, std::move(warnings));
}

}  // namespace espalier
