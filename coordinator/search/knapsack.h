// The additive optimum: one level for each unit so that the summed scores are smallest within the target. A
// multiple-choice knapsack, solved exactly by dynamic programming over the costs divided by their greatest common
// divisor.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/domain/cost.h"

namespace espalier {

struct KnapsackSolution {
  Mask mask;
  double score = 0;
  int64_t cost_step = 1;  // costs were counted in multiples of it
  // Empty when the optimum is exact. Otherwise the table would have been too large: costs were rounded up to multiples
  // of cost_step, so the target still holds and the score may be above the optimum.
  std::string warning;
};

inline constexpr int64_t kMaxKnapsackEntries = int64_t{128} << 20;

// `scores` by unit and level, finite. At most `max_entries` table entries of two bytes. Of equal scores the lower
// level wins, so the result is the same everywhere. kInvalidArgument when not even the cheapest levels fit.
absl::StatusOr<KnapsackSolution> SolveKnapsack(const CostTable& cost, const std::vector<std::vector<double>>& scores,
                                               int64_t target, int64_t max_entries);

}  // namespace espalier
