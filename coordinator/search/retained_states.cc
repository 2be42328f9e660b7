#include "coordinator/search/retained_states.h"

#include <algorithm>

#include "common/base/status_macros.h"
#include "coordinator/search/job_program.h"

namespace espalier {
namespace {

// fp32 weights and two fp32 moments, or bf16 weights alone.
int64_t BytesPerParameterOf(ContinueState state) { return state == ContinueState::kFull ? 12 : 2; }

// Who survives is known when the whole stage is through, so all that trained in it wait with their states. The last
// stage's are not gone on from.
int64_t MostStatesAtOnce(const JobSpec& spec) {
  int64_t most = 0;
  for (const Phase& phase : spec.phases) {
    int members = phase.offspring;
    for (size_t s = 0; s + 1 < phase.stages.size(); ++s) {
      if (phase.stages[s].train_tokens > 0) most = std::max<int64_t>(most, members);
      members = std::min(members, phase.stages[s].survivors);
    }
  }
  return most;
}

}  // namespace

int64_t RetainedBytes(const SearchPlan& plan, ContinueState state) {
  if (plan.spec.mode != TrainMode::kContinue) return 0;
  const double share = static_cast<double>(plan.target) / static_cast<double>(plan.dense_cost);
  const auto candidate = static_cast<int64_t>(share * static_cast<double>(CountParameters(plan.inputs.dense)));
  return MostStatesAtOnce(plan.spec) * candidate * BytesPerParameterOf(state);
}

absl::StatusOr<ContinueState> ContinueStateBySize(const JobSpec& spec, const JobInputs& inputs) {
  ESPALIER_ASSIGN_OR_RETURN(const JobPreview preview, ResolveJob(spec, inputs));
  ESPALIER_ASSIGN_OR_RETURN(const SearchPlan plan, MakeSearchPlan("preview", preview.resolved, inputs));
  const bool is_small = RetainedBytes(plan, ContinueState::kFull) <= kFullStatesUpToBytes;
  return is_small ? ContinueState::kFull : ContinueState::kWeightsBFloat16;
}

const char* Name(ContinueState state) { return state == ContinueState::kFull ? "FULL" : "WEIGHTS_BF16"; }

}  // namespace espalier
