#include "coordinator/search/outcome_check.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"

namespace espalier {
namespace {

// A divergence is at least 0; sums of rounded numbers may fall a little below.
constexpr double kLeastFitness = -1e-2;

absl::Status Wrong(const std::string& what) { return absl::InvalidArgumentError(what); }

absl::Status RequireFinite(const char* field, double value) {
  if (std::isfinite(value)) return absl::OkStatus();
  return Wrong(absl::StrCat(field, " is ", value));
}

bool IsDigest(const std::string& text) {
  return text.size() == 64 && text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

absl::Status CheckErrors(const char* field, const std::vector<double>& errors, const UnitLadder& unit) {
  if (static_cast<int>(errors.size()) != unit.num_levels()) {
    return Wrong(absl::StrCat(field, " has ", errors.size(), " values for the ", unit.num_levels(), " levels of ",
                              Name(unit.unit)));
  }
  for (double error : errors) {
    ESPALIER_RETURN_IF_ERROR(RequireFinite(field, error));
  }
  return absl::OkStatus();
}

absl::Status CheckHeadOrder(const SearchPlan& plan, const std::vector<int>& order) {
  std::vector<int> sorted = order;
  std::sort(sorted.begin(), sorted.end());
  std::vector<int> all(plan.inputs.dense.num_heads);
  std::iota(all.begin(), all.end(), 0);
  if (sorted != all)
    return Wrong(absl::StrCat("head_order has ", order.size(), " entries that are no order of the ", all.size(),
                              " query heads"));
  if (plan.ladder.head_granularity == HeadGranularity::kHead) return absl::OkStatus();
  const int group = plan.inputs.dense.heads_per_group();
  for (size_t i = 0; i < order.size(); ++i) {
    if (order[i] / group != order[i - i % group] / group)
      return Wrong("head_order splits a KV group, which the ladder removes whole");
  }
  return absl::OkStatus();
}

absl::Status CheckBankLayer(const SearchPlan& plan, const BankLayerTask& task, const BankLayerOutcome& outcome) {
  if (!IsDigest(outcome.artifact_digest))
    return Wrong(absl::StrCat("artifact_digest '", outcome.artifact_digest, "' is no SHA-256"));
  ESPALIER_RETURN_IF_ERROR(CheckHeadOrder(plan, outcome.head_order));
  for (const UnitLadder& unit : plan.ladder.units) {
    if (unit.unit.layer != task.layer) continue;
    const bool is_attention = unit.unit.kind == UnitKind::kAttention;
    ESPALIER_RETURN_IF_ERROR(CheckErrors(is_attention ? "attention_errors" : "ffn_errors",
                                         is_attention ? outcome.attention_errors : outcome.ffn_errors, unit));
  }
  return RequireFinite("seconds", outcome.seconds);
}

absl::Status CheckAdditiveUnit(const SearchPlan& plan, const AdditiveUnitTask& task,
                               const AdditiveUnitOutcome& outcome) {
  ESPALIER_RETURN_IF_ERROR(CheckErrors("fitness_by_level", outcome.fitness_by_level, plan.ladder.units[task.unit]));
  for (double fitness : outcome.fitness_by_level) {
    if (fitness < kLeastFitness)
      return Wrong(absl::StrCat("fitness_by_level has ", fitness, ", a divergence is at least 0"));
  }
  if (outcome.scored_tokens < 0) return Wrong(absl::StrCat("scored_tokens is ", outcome.scored_tokens));
  return RequireFinite("seconds", outcome.seconds);
}

absl::Status CheckNumbers(const Measurement& measurement) {
  ESPALIER_RETURN_IF_ERROR(RequireFinite("fitness", measurement.fitness));
  ESPALIER_RETURN_IF_ERROR(RequireFinite("standard_error", measurement.standard_error));
  ESPALIER_RETURN_IF_ERROR(RequireFinite("loss", measurement.loss));
  ESPALIER_RETURN_IF_ERROR(RequireFinite("perplexity", measurement.perplexity));
  ESPALIER_RETURN_IF_ERROR(RequireFinite("dense_perplexity", measurement.dense_perplexity));
  ESPALIER_RETURN_IF_ERROR(
      RequireFinite("assemble_seconds + train_seconds + score_seconds",
                    measurement.assemble_seconds + measurement.train_seconds + measurement.score_seconds));
  for (float fitness : measurement.window_fitness) {
    ESPALIER_RETURN_IF_ERROR(RequireFinite("window_fitness", fitness));
  }
  if (measurement.fitness < kLeastFitness)
    return Wrong(absl::StrCat("fitness is ", measurement.fitness, ", a divergence is at least 0"));
  return absl::OkStatus();
}

absl::Status CheckMeasurement(const SearchPlan& plan, const Bank& bank, const Mask& mask, int64_t score_windows,
                              const Measurement& measurement) {
  if (measurement.trained_tokens < 0 || measurement.replayed_tokens < 0 || measurement.scored_tokens < 0) {
    return Wrong("a number of tokens is negative");
  }
  if (!measurement.feasible) return absl::OkStatus();
  ESPALIER_RETURN_IF_ERROR(CheckNumbers(measurement));
  if (static_cast<int64_t>(measurement.window_fitness.size()) != score_windows) {
    return Wrong(absl::StrCat("window_fitness has ", measurement.window_fitness.size(), " values for ", score_windows,
                              " score windows"));
  }
  const int64_t parameters = ParametersOf(plan, bank, mask);
  if (measurement.parameters != 0 && measurement.parameters != parameters) {
    return Wrong(absl::StrCat("parameters is ", measurement.parameters, ", the mask leaves ", parameters));
  }
  return absl::OkStatus();
}

absl::Status CheckEvaluation(const SearchPlan& plan, const Bank& bank, const EvaluateTask& task,
                             const Measurement& measurement) {
  ESPALIER_RETURN_IF_ERROR(CheckMeasurement(plan, bank, task.mask, task.score_windows, measurement));
  const int64_t scheduled = task.stream.end - task.stream.begin;
  if (measurement.trained_tokens != scheduled && (measurement.feasible || measurement.trained_tokens > scheduled)) {
    return Wrong(absl::StrCat("trained_tokens is ", measurement.trained_tokens, ", the task has ", scheduled));
  }
  return absl::OkStatus();
}

absl::Status CheckFinish(const SearchPlan& plan, const Bank& bank, const FinishTask& task,
                         const FinishOutcome& outcome) {
  if (!outcome.measurement.feasible) return absl::OkStatus();  // a result too: it fails the job with its reason
  ESPALIER_RETURN_IF_ERROR(CheckMeasurement(plan, bank, task.mask, task.score_windows, outcome.measurement));
  ESPALIER_RETURN_IF_ERROR(RequireFinite("export_max_logit_difference", outcome.export_max_logit_difference));
  if (outcome.files.empty()) return Wrong("the export has no files");
  for (const ExportedFile& file : outcome.files) {
    if (!IsDigest(file.digest))
      return Wrong(absl::StrCat("file '", file.name, "' has digest '", file.digest, "', which is no SHA-256"));
  }
  return absl::OkStatus();
}

absl::Status CheckPayload(const SearchPlan& plan, const Bank& bank, const Task& task, const TaskOutcome& outcome) {
  switch (task.kind()) {
    case TaskKind::kBankLayer:
      return CheckBankLayer(plan, std::get<BankLayerTask>(task.payload), std::get<BankLayerOutcome>(outcome));
    case TaskKind::kAdditiveUnit:
      return CheckAdditiveUnit(plan, std::get<AdditiveUnitTask>(task.payload), std::get<AdditiveUnitOutcome>(outcome));
    case TaskKind::kEvaluate:
      return CheckEvaluation(plan, bank, std::get<EvaluateTask>(task.payload), std::get<Measurement>(outcome));
    case TaskKind::kFinish:
      return CheckFinish(plan, bank, std::get<FinishTask>(task.payload), std::get<FinishOutcome>(outcome));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckOutcome(const SearchPlan& plan, const Bank& bank, const Task& task, const TaskOutcome& outcome) {
  if (outcome.index() != task.payload.index()) {
    return absl::InvalidArgumentError(
        absl::StrCat("task ", task.task_id, " is a ", Name(task.kind()), " task, the outcome is of another kind"));
  }
  const absl::Status status = CheckPayload(plan, bank, task, outcome);
  if (status.ok()) return status;
  const absl::string_view message = status.message();
  return absl::InvalidArgumentError(absl::StrCat("outcome of ", task.task_id, ": ", message));
}

}  // namespace espalier
