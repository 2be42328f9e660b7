#include "coordinator/search/resolve_check.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "coordinator/search/stage_plan.h"

namespace espalier {
namespace {

constexpr int kMaxPriority = 100;
constexpr double kMaxWeight = 100;
// Far beyond any file and any patience; sums over a job's finalists and recoveries stay numbers.
constexpr int64_t kMaxRecoveryTokens = 1'000'000'000'000'000;

template <typename Value>
absl::Status Refuse(const std::string& field, const Value& value, const std::string& possible) {
  return absl::InvalidArgumentError(absl::StrCat(field, " is ", value, ": ", possible));
}

absl::Status RequireAtLeast(const std::string& field, int64_t value, int64_t least) {
  if (value >= least) return absl::OkStatus();
  return Refuse(field, value, absl::StrCat("it must be at least ", least));
}

absl::Status RequireName(const std::string& field, const std::string& value, const char* only) {
  if (value == only) return absl::OkStatus();
  return Refuse(field, absl::StrCat("'", value, "'"), absl::StrCat("there is '", only, "'"));
}

absl::Status CheckTrain(const std::string& field, const TrainSettings& train) {
  if (!(train.learning_rate > 0) || !std::isfinite(train.learning_rate)) {
    return Refuse(absl::StrCat(field, ".learning_rate"), train.learning_rate, "it must be above 0");
  }
  const auto require_share = [&](const char* name, double value) {
    if (value >= 0 && value < 1) return absl::OkStatus();
    return Refuse(absl::StrCat(field, ".", name), value, "it must be at least 0 and below 1");
  };
  ESPALIER_RETURN_IF_ERROR(require_share("beta1", train.beta1));
  ESPALIER_RETURN_IF_ERROR(require_share("beta2", train.beta2));
  if (!(train.epsilon > 0)) return Refuse(absl::StrCat(field, ".epsilon"), train.epsilon, "it must be above 0");
  if (!(train.weight_decay >= 0))
    return Refuse(absl::StrCat(field, ".weight_decay"), train.weight_decay, "it must be at least 0");
  if (!(train.clip_norm >= 0))
    return Refuse(absl::StrCat(field, ".clip_norm"), train.clip_norm, "it must be at least 0 (0: no clipping)");
  if (!(train.cosine_to >= 0 && train.cosine_to <= 1))
    return Refuse(absl::StrCat(field, ".cosine_to"), train.cosine_to, "it must lie between 0 and 1");
  return RequireAtLeast(absl::StrCat(field, ".warmup_steps"), train.warmup_steps, 0);
}

absl::Status CheckStages(const std::string& field, const JobSpec& spec, const Phase& phase) {
  if (phase.stages.empty()) return Refuse(absl::StrCat(field, ".stages"), "empty", "a phase needs at least one stage");
  int64_t members = phase.offspring;
  for (size_t i = 0; i < phase.stages.size(); ++i) {
    const Stage& stage = phase.stages[i];
    const std::string name = absl::StrCat(field, ".stages[", i, "]");
    const bool is_last = i + 1 == phase.stages.size();
    if (stage.survivors < 1 || stage.survivors > members) {
      return Refuse(name + ".survivors", stage.survivors,
                    absl::StrCat("of its ", members, " candidates 1 to ", members, " can survive"));
    }
    if (is_last && stage.survivors != 1)
      return Refuse(name + ".survivors", stage.survivors, "the last stage leaves one, the new parent");
    ESPALIER_RETURN_IF_ERROR(RequireAtLeast(name + ".train_tokens", stage.train_tokens, 0));
    ESPALIER_RETURN_IF_ERROR(RequireAtLeast(name + ".score_tokens", stage.score_tokens, 1));
    if (spec.mode == TrainMode::kContinue && i > 0 && stage.train_tokens < phase.stages[i - 1].train_tokens) {
      return Refuse(name + ".train_tokens", stage.train_tokens,
                    absl::StrCat("in mode CONTINUE budgets are cumulative and cannot fall below the last stage's ",
                                 phase.stages[i - 1].train_tokens));
    }
    members = stage.survivors;
  }
  return absl::OkStatus();
}

absl::Status CheckPhase(const std::string& field, const JobSpec& spec, const Phase& phase) {
  ESPALIER_RETURN_IF_ERROR(RequireAtLeast(field + ".generations", phase.generations, 1));
  ESPALIER_RETURN_IF_ERROR(RequireAtLeast(field + ".offspring", phase.offspring, 1));
  ESPALIER_RETURN_IF_ERROR(RequireAtLeast(field + ".redraw_every", phase.redraw_every, 1));
  ESPALIER_RETURN_IF_ERROR(RequireAtLeast(field + ".patience", phase.patience, 0));
  if (phase.offspring > 4096) return Refuse(field + ".offspring", phase.offspring, "it must be at most 4096");
  const auto is_weight = [](double weight) { return weight >= 0 && std::isfinite(weight); };
  if (!is_weight(phase.same_kind_weight))
    return Refuse(field + ".same_kind_weight", phase.same_kind_weight, "it must be at least 0");
  if (!is_weight(phase.cross_kind_weight))
    return Refuse(field + ".cross_kind_weight", phase.cross_kind_weight, "it must be at least 0");
  if (phase.same_kind_weight + phase.cross_kind_weight <= 0) {
    return Refuse(field + ".same_kind_weight", phase.same_kind_weight, "it and cross_kind_weight cannot both be 0");
  }
  ESPALIER_RETURN_IF_ERROR(CheckTrain(field + ".train", phase.train));
  return CheckStages(field, spec, phase);
}

absl::Status CheckRecovery(const std::string& field, const Recovery& recovery) {
  ESPALIER_RETURN_IF_ERROR(RequireAtLeast(field + ".tokens", recovery.tokens, 0));
  if (recovery.tokens > kMaxRecoveryTokens)
    return Refuse(field + ".tokens", recovery.tokens, absl::StrCat("it must be at most ", kMaxRecoveryTokens));
  ESPALIER_RETURN_IF_ERROR(RequireAtLeast(field + ".tokens_per_step", recovery.tokens_per_step, 0));
  if (recovery.tokens == 0) return absl::OkStatus();
  return CheckTrain(field + ".train", recovery.train);
}

absl::Status CheckStop(const StopRules& stop) {
  if (stop.generations.has_value()) ESPALIER_RETURN_IF_ERROR(RequireAtLeast("stop.generations", *stop.generations, 0));
  ESPALIER_RETURN_IF_ERROR(RequireAtLeast("stop.token_budget", stop.token_budget, 0));
  ESPALIER_RETURN_IF_ERROR(RequireAtLeast("stop.patience", stop.patience, 0));
  if (!(stop.wall_seconds >= 0))
    return Refuse("stop.wall_seconds", stop.wall_seconds, "it must be at least 0 (0: no limit)");
  return absl::OkStatus();
}

absl::Status CheckNumbers(const JobSpec& spec) {
  ESPALIER_RETURN_IF_ERROR(RequireAtLeast("sequence_length", spec.sequence_length, 0));
  ESPALIER_RETURN_IF_ERROR(RequireAtLeast("evaluation_windows", spec.evaluation_windows, 0));
  ESPALIER_RETURN_IF_ERROR(RequireAtLeast("cost.context_tokens", spec.cost.context_tokens, 0));
  ESPALIER_RETURN_IF_ERROR(RequireAtLeast("calibration_tokens", spec.calibration_tokens, 0));
  ESPALIER_RETURN_IF_ERROR(RequireAtLeast("additive_score_tokens", spec.additive_score_tokens, 0));
  ESPALIER_RETURN_IF_ERROR(RequireAtLeast("tokens_per_step", spec.tokens_per_step, 2));
  ESPALIER_RETURN_IF_ERROR(RequireAtLeast("play_off_score_tokens", spec.play_off_score_tokens, 0));
  ESPALIER_RETURN_IF_ERROR(RequireAtLeast("report_score_tokens", spec.report_score_tokens, 0));
  ESPALIER_RETURN_IF_ERROR(RequireAtLeast("cpu_threads", spec.cpu_threads, 1));
  ESPALIER_RETURN_IF_ERROR(RequireAtLeast("max_attempts", spec.max_attempts, 1));
  ESPALIER_RETURN_IF_ERROR(RequireAtLeast("max_workers", spec.max_workers, 0));
  ESPALIER_RETURN_IF_ERROR(RequireAtLeast("minimum_device_memory", spec.minimum_device_memory, 0));
  if (spec.priority < -kMaxPriority || spec.priority > kMaxPriority)
    return Refuse("priority", spec.priority, absl::StrCat("it must be from ", -kMaxPriority, " to ", kMaxPriority));
  if (!(spec.weight >= 1 / kMaxWeight && spec.weight <= kMaxWeight))
    return Refuse("weight", spec.weight, absl::StrCat("it must be from ", 1 / kMaxWeight, " to ", kMaxWeight));
  if (!(spec.damping > 0) || !std::isfinite(spec.damping))
    return Refuse("damping", spec.damping, "it must be above 0 (0.01 is usual)");
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckSpec(const JobSpec& spec) {
  ESPALIER_RETURN_IF_ERROR(CheckNumbers(spec));
  ESPALIER_RETURN_IF_ERROR(RequireName("criterion", spec.criterion, "structured_obs"));
  ESPALIER_RETURN_IF_ERROR(RequireName("compensation", spec.compensation, "least_squares"));
  ESPALIER_RETURN_IF_ERROR(RequireName("strategy", spec.strategy, "evolution"));
  ESPALIER_RETURN_IF_ERROR(CheckStop(spec.stop));
  ESPALIER_RETURN_IF_ERROR(CheckRecovery("play_off", spec.play_off));
  ESPALIER_RETURN_IF_ERROR(CheckRecovery("recovery", spec.recovery));
  if (spec.play_off.start_trained)
    return Refuse("play_off.start_trained", "true", "finalists start from the bank's weights, so that they compare");
  if (static_cast<int64_t>(spec.phases.size()) > kMaxPhases) {
    return Refuse("phases", spec.phases.size(), absl::StrCat("a job has at most ", kMaxPhases, " phases"));
  }
  for (size_t i = 0; i < spec.phases.size(); ++i)
    ESPALIER_RETURN_IF_ERROR(CheckPhase(absl::StrCat("phases[", i, "]"), spec, spec.phases[i]));
  return absl::OkStatus();
}

namespace {

struct PoolNeed {
  std::string field;
  int64_t tokens;
  Pool pool;
};

std::vector<PoolNeed> PoolNeeds(const JobSpec& spec) {
  std::vector<PoolNeed> needs;
  const std::vector<int> generations = GenerationsByPhase(spec);
  for (size_t p = 0; p < spec.phases.size(); ++p) {
    if (generations[p] == 0) continue;
    for (size_t s = 0; s < spec.phases[p].stages.size(); ++s) {
      const std::string name = absl::StrCat("phases[", p, "].stages[", s, "]");
      const Stage& stage = spec.phases[p].stages[s];
      needs.push_back({name + ".train_tokens", stage.train_tokens, Pool::kTrain});
      needs.push_back({name + ".score_tokens", stage.score_tokens, Pool::kScore});
    }
  }
  needs.push_back({"calibration_tokens", spec.calibration_tokens, Pool::kCalibrate});
  needs.push_back({"additive_score_tokens", spec.additive_score_tokens, Pool::kScore});
  needs.push_back({"play_off_score_tokens", spec.play_off_score_tokens, Pool::kSelect});
  needs.push_back({"report_score_tokens", spec.report_score_tokens, Pool::kReport});
  return needs;
}

int64_t WindowsFor(const PoolNeed& need, const JobSpec& spec) {
  return need.tokens == 0 ? 0 : WindowsForPool(need.pool, WindowsForTokens(need.tokens, spec.sequence_length));
}

}  // namespace

int64_t WindowsNeeded(const JobSpec& spec) {
  int64_t most = 0;
  for (const PoolNeed& need : PoolNeeds(spec)) most = std::max(most, WindowsFor(need, spec));
  return most;
}

absl::Status CheckPools(const JobSpec& spec, int64_t num_windows) {
  // The one that needs the longest file: what it says is enough for all.
  std::optional<PoolNeed> worst;
  for (const PoolNeed& need : PoolNeeds(spec)) {
    if (WindowsForTokens(need.tokens, spec.sequence_length) <= PoolSize(need.pool, num_windows)) continue;
    if (!worst.has_value() || WindowsFor(need, spec) > WindowsFor(*worst, spec)) worst = need;
  }
  if (!worst.has_value()) return absl::OkStatus();
  return Refuse(worst->field, worst->tokens,
                absl::StrCat("too few tokens: it takes ", WindowsForTokens(worst->tokens, spec.sequence_length),
                             " windows of ", spec.sequence_length, ", the ", Name(worst->pool), " pool of '",
                             spec.tokens_path, "' has ", PoolSize(worst->pool, num_windows), " (of ", num_windows,
                             " windows in all); the file needs at least ",
                             WindowsFor(*worst, spec) * spec.sequence_length, " tokens"));
}

}  // namespace espalier
