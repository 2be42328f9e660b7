#include "coordinator/search/search_plan.h"

#include "common/base/status_macros.h"
#include "common/domain/bank_key.h"
#include "common/domain/runtime_profile.h"
#include "common/domain/windows.h"

namespace espalier {

absl::StatusOr<SearchPlan> MakeSearchPlan(const std::string& job_id, const JobSpec& resolved, const JobInputs& inputs) {
  SearchPlan plan;
  plan.job_id = job_id;
  plan.spec = resolved;
  plan.inputs = inputs;
  ESPALIER_ASSIGN_OR_RETURN(plan.ladder, BuildLadderForRuntime(inputs.dense, resolved.ladder, resolved.runtime));
  plan.context.model_folder = resolved.model_folder;
  plan.context.model_digest = inputs.model_digest;
  plan.context.tokens_path = resolved.tokens_path;
  plan.context.tokens_digest = inputs.tokens_digest;
  plan.context.evaluation_path = resolved.evaluation_path;
  plan.context.evaluation_digest = inputs.evaluation_digest;
  plan.context.evaluation_windows = resolved.evaluation_windows;
  plan.context.sequence_length = resolved.sequence_length;
  plan.context.ladder = plan.ladder;
  plan.context.criterion = resolved.criterion;
  plan.context.compensation = resolved.compensation;
  plan.context.damping = resolved.damping;
  plan.context.device = resolved.device;
  plan.context.cpu_threads = resolved.cpu_threads;
  plan.num_windows = inputs.num_tokens / resolved.sequence_length;

  const CostTable table = BuildCostTable(inputs.dense, plan.ladder, resolved.cost, std::nullopt);
  plan.dense_cost = table.Of(Mask{std::vector<int>(plan.ladder.units.size(), 0)});
  ESPALIER_ASSIGN_OR_RETURN(plan.target, ResolveTarget(resolved.target, table));

  plan.calibration = {Pool::kCalibrate, 0, 0, 0};
  plan.calibration_windows = WindowsForTokens(resolved.calibration_tokens, resolved.sequence_length);
  plan.bank_key =
      BankKey(BankKeyPartsOf(plan.context, plan.calibration, plan.calibration_windows, inputs.dense.number_format));
  return plan;
}

int64_t ParametersOf(const SearchPlan& plan, const Bank& bank, const Mask& mask) {
  return CountParameters(ApplyMask(plan.inputs.dense, plan.ladder, mask, bank.head_orders));
}

int64_t WindowsOf(const SearchPlan& plan, int64_t tokens) {
  return WindowsForTokens(tokens, plan.spec.sequence_length);
}

}  // namespace espalier
