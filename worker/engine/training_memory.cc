#include "worker/engine/training_memory.h"

#include <algorithm>

#include "worker/engine/train_formats.h"

namespace espalier {
namespace {

// Of a parameter's bytes, the gradient: there are two while passes add up, their sum and the present pass's.
constexpr int64_t kGradientBytes = 2;

// Inputs and outputs of the projections and norms, in bf16.
int64_t ActivationBytesPerToken(const ModelConfig& config) {
  int64_t values = 0;
  for (const LayerShape& layer : config.layers) {
    values += 2 * config.hidden_size;  // the residual stream at both doors
    if (layer.num_heads() > 0) {
      values += 2 * config.hidden_size + (3 * layer.num_heads() + 4 * layer.num_kv_heads) * int64_t{config.head_size};
    }
    if (layer.ffn_width > 0) values += 2 * config.hidden_size + 4 * int64_t{layer.ffn_width};
  }
  return 2 * values;
}

// The largest layer alone, when activations are computed again, and one hidden state a layer.
int64_t RecomputedBytesPerToken(const ModelConfig& config) {
  const int64_t layers = std::max<int64_t>(config.num_layers, 1);
  return 2 * ActivationBytesPerToken(config) / layers + 2 * layers * config.hidden_size;
}

// What passes of so many tokens add to a state with one gradient. A pass's gradients come as its activations go, so
// where passes add up the larger of the two counts.
int64_t PassBytes(const TrainingDemand& demand, int64_t bytes_per_token, int64_t tokens) {
  const int64_t activations = tokens * bytes_per_token;
  return tokens >= demand.step_tokens ? activations : std::max(activations, kGradientBytes * demand.parameters);
}

// The longest passes that fit into `left` bytes, in whole windows; 0 when not even one window's does.
int64_t LongestPass(const TrainingDemand& demand, int64_t bytes_per_token, int64_t left) {
  if (PassBytes(demand, bytes_per_token, demand.step_tokens) <= left) return demand.step_tokens;
  if (PassBytes(demand, bytes_per_token, demand.window_tokens) > left) return 0;
  return std::min(left / std::max<int64_t>(bytes_per_token, 1) / demand.window_tokens * demand.window_tokens,
                  demand.step_tokens);
}

// The plan for a task that may use so many bytes.
TrainingPlan PlanWithin(const TrainingDemand& demand, int64_t available) {
  TrainingPlan plan;
  plan.available = available;
  int64_t per_token = 0, pass = 0;
  for (const FormatChoice& choice : FormatChoices()) {
    plan.masters = choice.formats.masters;
    plan.moments = choice.formats.moments;
    plan.state_bytes = demand.parameters * BytesOfParameter(choice.formats, demand.has_fused_optimizer);
    for (const bool again : {false, true}) {
      if (again && !choice.may_recompute) break;
      plan.recompute_activations = again;
      per_token = again ? demand.recomputed_bytes : demand.activation_bytes;
      pass = LongestPass(demand, per_token, available - plan.state_bytes);
      if (pass > 0) break;
    }
    if (pass > 0) break;
  }
  if (pass == 0) {  // beyond the plan: passes as long as their activations alone would allow
    const int64_t left = available - plan.state_bytes;
    pass = std::max<int64_t>(left / std::max<int64_t>(per_token, 1) / demand.window_tokens, 1) * demand.window_tokens;
  }
  if (pass < demand.step_tokens) plan.micro_batch_tokens = pass;
  plan.pass_bytes = PassBytes(demand, per_token, pass);
  return plan;
}

}  // namespace

TrainingDemand DemandOf(const ModelConfig& candidate, int64_t window_tokens, int64_t tokens_per_step,
                        bool has_fused_optimizer) {
  TrainingDemand demand;
  demand.parameters = CountParameters(candidate);
  demand.activation_bytes = ActivationBytesPerToken(candidate);
  demand.recomputed_bytes = RecomputedBytesPerToken(candidate);
  demand.window_tokens = std::max<int64_t>(window_tokens, 1);
  demand.step_tokens = std::max(tokens_per_step, demand.window_tokens);
  demand.has_fused_optimizer = has_fused_optimizer;
  return demand;
}

TrainingPlan PlanTraining(const TrainingDemand& demand, const ResidentBytes& resident, int64_t device_bytes, int num_slots) {
  const int64_t others = resident.dense + resident.streams + resident.teachers;
  const auto plan_beside = [&](int64_t bank) {
    return PlanWithin(demand, (WithoutReserve(device_bytes) - others - bank) / num_slots - 2 * kWorkingBytes);
  };
  const TrainingPlan beside = plan_beside(resident.bank);
  TrainingPlan without = plan_beside(0);
  without.bank_on_host = without.masters != beside.masters || without.moments != beside.moments ||
                         without.recompute_activations != beside.recompute_activations ||
                         without.micro_batch_tokens != beside.micro_batch_tokens;
  return without.bank_on_host ? without : beside;
}

}  // namespace espalier
