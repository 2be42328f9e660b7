// Where a search starts: the uniform mask, the additive optimum or a given mask; all within the target and full.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "coordinator/search/search_plan.h"

namespace espalier {

// Summed scores of single units, as AdditiveUnitOutcome tells them, and their optimum under the target.
struct AdditiveOptimum {
  Mask mask;
  std::string warning;  // when the optimum is approximate
};
absl::StatusOr<AdditiveOptimum> SolveAdditive(const SearchPlan& plan, const Bank& bank,
                                              const std::vector<std::vector<double>>& scores);

// The given mask. What the bank's head orders make too expensive, or leave room for, is repaired at random.
absl::StatusOr<Mask> GivenFirstParent(const SearchPlan& plan, const Bank& bank);

// A mask within the target stays as it is; another is repaired (a rebuilt bank may have other head orders).
Mask WithinTarget(const SearchPlan& plan, const Bank& bank, Mask mask);

}  // namespace espalier
