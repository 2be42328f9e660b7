#include "coordinator/search/first_parent.h"

#include "common/base/status_macros.h"
#include "coordinator/search/full.h"
#include "coordinator/search/knapsack.h"

namespace espalier {

absl::StatusOr<AdditiveOptimum> SolveAdditive(const SearchPlan& plan, const Bank& bank,
                                              const std::vector<std::vector<double>>& scores) {
  ESPALIER_ASSIGN_OR_RETURN(KnapsackSolution solution,
                            SolveKnapsack(bank.cost, scores, plan.target, kMaxKnapsackEntries));
  MakeFullByScore(bank.cost, plan.target, scores, &solution.mask);
  return AdditiveOptimum{std::move(solution.mask), std::move(solution.warning)};
}

absl::StatusOr<Mask> GivenFirstParent(const SearchPlan& plan, const Bank& bank) {
  ESPALIER_ASSIGN_OR_RETURN(Mask mask, MaskFromRemoved(plan.ladder, plan.spec.given.removed));
  KeyedRandom random(plan.spec.seed, "given", {});
  RestoreBudget(bank.cost, plan.ladder, plan.target, &random, &mask);
  return mask;
}

Mask WithinTarget(const SearchPlan& plan, const Bank& bank, Mask mask) {
  if (bank.cost.Of(mask) <= plan.target) return mask;
  KeyedRandom random(plan.spec.seed, "rebuilt", {bank.revision});
  RestoreBudget(bank.cost, plan.ladder, plan.target, &random, &mask);
  return mask;
}

}  // namespace espalier
