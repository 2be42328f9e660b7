#include "coordinator/search/preview.h"

#include <algorithm>

#include "common/domain/bank_bytes.h"
#include "coordinator/search/stage_plan.h"

namespace espalier {
namespace {

// What the backward pass keeps of one step's tokens, as the worker counts it when it plans a candidate's training: the
// residual stream at every norm and projection; queries, keys, values and the attention's result; the FFN's gate, up
// projection and product. The target's share of the widths. A device with less room takes a step in several passes.
double ActivationBytes(const SearchPlan& plan, double share) {
  const ModelConfig& dense = plan.inputs.dense;
  double values_per_token = 0;
  for (const LayerShape& layer : dense.layers) {
    const double attention = (3.0 * layer.num_heads() + 4.0 * layer.num_kv_heads) * dense.head_size;
    values_per_token += 6.0 * dense.hidden_size + share * (attention + 4.0 * layer.ffn_width);
  }
  const int tokens = std::max(plan.spec.tokens_per_step, plan.spec.sequence_length);
  return values_per_token * tokens * (plan.spec.device == DeviceKind::kCuda ? 2 : 4);
}

// Weights, gradients and two moments in fp32 and the weights in the compute format, for a candidate of the target's
// share of the dense parameters; a step's activations; the dense model beside it as teacher.
int64_t DeviceBytes(const SearchPlan& plan) {
  const double dense = static_cast<double>(CountParameters(plan.inputs.dense));
  const double share = static_cast<double>(plan.target) / static_cast<double>(plan.dense_cost);
  const double candidate = dense * share;
  const double compute = plan.spec.device == DeviceKind::kCuda ? 2 : 0;
  const double dense_bytes = plan.spec.device == DeviceKind::kCuda
                                 ? static_cast<double>(BytesPerParameter(plan.inputs.dense.number_format))
                                 : 4;
  return static_cast<int64_t>(candidate * (16 + compute) + ActivationBytes(plan, share) + dense * dense_bytes);
}

struct SearchTokens {
  GenerationTokens stages;
  int num_generations = 0;
  int num_phases = 0;  // with generations
};

SearchTokens TokensOfSearch(const SearchPlan& plan) {
  const JobSpec& spec = plan.spec;
  const std::vector<int> generations = GenerationsByPhase(spec);
  const int64_t select = WindowsOf(plan, spec.play_off_score_tokens) * spec.sequence_length;
  SearchTokens all;
  for (int p = 0; p < static_cast<int>(spec.phases.size()); ++p) {
    const int64_t count = generations[p];
    if (count == 0) continue;
    const int64_t draws = (count - 1) / spec.phases[p].redraw_every + 1;
    const GenerationTokens reused = TokensOfGeneration(spec, p, true);
    const GenerationTokens fresh = TokensOfGeneration(spec, p, false);
    all.stages.train_tokens += draws * fresh.train_tokens + (count - draws) * reused.train_tokens;
    all.stages.score_tokens += draws * fresh.score_tokens + (count - draws) * reused.score_tokens;
    all.stages.num_evaluations += draws * fresh.num_evaluations + (count - draws) * reused.num_evaluations;
    if (HasPatience(spec, spec.phases[p])) {
      all.stages.train_tokens += (count + 1) * spec.phases[p].stages.back().train_tokens;
      all.stages.score_tokens += (count + 1) * select;
      all.stages.num_evaluations += count + 1;
    }
    all.num_generations += static_cast<int>(count);
    ++all.num_phases;
  }
  return all;
}

}  // namespace

JobPreview Preview(const SearchPlan& plan, std::vector<std::string> warnings) {
  const JobSpec& spec = plan.spec;
  const int64_t length = spec.sequence_length;
  JobPreview preview;
  preview.resolved = spec;
  preview.dense_cost = plan.dense_cost;
  preview.target_cost = plan.target;
  preview.dense_parameters = CountParameters(plan.inputs.dense);

  const SearchTokens search = TokensOfSearch(plan);
  const int64_t finalists = search.num_phases == 0 ? 0 : search.num_phases + 1;  // first parent and phase winners
  const int64_t one_shots = 3 + search.num_generations;  // uniform, additive, result; and every parent
  preview.train_tokens = search.stages.train_tokens + finalists * spec.play_off.tokens;
  // The token budget counts all of that, so it is a limit of the sum as well.
  if (spec.stop.token_budget > 0) preview.train_tokens = std::min(preview.train_tokens, spec.stop.token_budget);
  preview.score_tokens = search.stages.score_tokens + finalists * WindowsOf(plan, spec.play_off_score_tokens) * length +
                         one_shots * WindowsOf(plan, spec.report_score_tokens) * length;
  for (const UnitLadder& unit : plan.ladder.units) {
    preview.score_tokens += (unit.num_levels() - 1) * WindowsOf(plan, spec.additive_score_tokens) * length;
  }
  preview.recovery_tokens = spec.recovery.tokens * (spec.recover_yardsticks ? 3 : 1);
  preview.num_evaluations = search.stages.num_evaluations + finalists + one_shots + (spec.recover_yardsticks ? 2 : 0);
  preview.bank_bytes = BankBytes(plan.inputs.dense, plan.ladder);
  preview.device_bytes = DeviceBytes(plan);
  preview.warnings = std::move(warnings);
  return preview;
}

}  // namespace espalier
