#include "coordinator/search/stop_rules.h"

namespace espalier {

bool FitsTokenBudget(const JobSpec& spec, int64_t trained_tokens, int64_t generation_tokens, int num_finalists) {
  if (spec.stop.token_budget == 0) return true;
  return trained_tokens + generation_tokens + num_finalists * spec.play_off.tokens <= spec.stop.token_budget;
}

void Patience::BeginPhase(double fitness) {
  best_ = fitness;
  in_phase_ = 0;
}

void Patience::GenerationEnded(double fitness) {
  if (fitness < best_) {
    best_ = fitness;
    in_phase_ = 0;
    in_job_ = 0;
  } else {
    ++in_phase_;
    ++in_job_;
  }
}

}  // namespace espalier
