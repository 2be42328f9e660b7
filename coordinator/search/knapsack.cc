#include "coordinator/search/knapsack.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"

namespace espalier {
namespace {

constexpr double kUnreachable = std::numeric_limits<double>::infinity();

// Costs above each unit's cheapest level, which everybody pays.
struct Excess {
  int64_t base = 0;  // the constant and the cheapest levels
  std::vector<std::vector<int64_t>> by_unit_and_level;
  int64_t divisor = 0;
};

Excess ExcessOf(const CostTable& cost) {
  Excess excess;
  excess.base = cost.constant();
  for (const std::vector<int64_t>& by_level : cost.by_unit_and_level()) {
    const int64_t cheapest = *std::min_element(by_level.begin(), by_level.end());
    excess.base += cheapest;
    std::vector<int64_t> above;
    for (int64_t value : by_level) {
      above.push_back(value - cheapest);
      excess.divisor = std::gcd(excess.divisor, value - cheapest);
    }
    excess.by_unit_and_level.push_back(std::move(above));
  }
  excess.divisor = std::max<int64_t>(excess.divisor, 1);
  return excess;
}

// best[c]: the smallest summed score of the units so far with at most c steps; choice[unit][c]: the level taken.
Mask Solve(const std::vector<std::vector<int64_t>>& steps, const std::vector<std::vector<double>>& scores,
           int64_t capacity) {
  const size_t num_units = steps.size();
  std::vector<double> best(capacity + 1, 0.0);
  std::vector<std::vector<uint16_t>> choice(num_units, std::vector<uint16_t>(capacity + 1, 0));
  for (size_t unit = 0; unit < num_units; ++unit) {
    std::vector<double> next(capacity + 1, kUnreachable);
    for (size_t level = 0; level < steps[unit].size(); ++level) {
      const int64_t price = steps[unit][level];
      const double score = scores[unit][level];
      uint16_t* chosen = choice[unit].data();
      for (int64_t c = price; c <= capacity; ++c) {
        const double value = best[c - price] + score;
        if (value < next[c]) {
          next[c] = value;
          chosen[c] = static_cast<uint16_t>(level);
        }
      }
    }
    best.swap(next);
  }
  Mask mask;
  mask.levels.assign(num_units, 0);
  int64_t rest = capacity;
  for (size_t unit = num_units; unit-- > 0;) {
    mask.levels[unit] = choice[unit][rest];
    rest -= steps[unit][mask.levels[unit]];
  }
  return mask;
}

}  // namespace

absl::StatusOr<KnapsackSolution> SolveKnapsack(const CostTable& cost, const std::vector<std::vector<double>>& scores,
                                               int64_t target, int64_t max_entries) {
  const Excess excess = ExcessOf(cost);
  const int64_t num_units = static_cast<int64_t>(excess.by_unit_and_level.size());
  ESPALIER_CHECK(num_units > 0 && scores.size() == excess.by_unit_and_level.size() && max_entries >= num_units);
  int64_t most = 0;  // more room than all intact units take is of no use
  for (size_t unit = 0; unit < scores.size(); ++unit) {
    ESPALIER_CHECK(scores[unit].size() == excess.by_unit_and_level[unit].size());
    most += *std::max_element(excess.by_unit_and_level[unit].begin(), excess.by_unit_and_level[unit].end());
  }
  const int64_t room = std::min(target - excess.base, most);
  if (room < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("target ", target, " is below ", excess.base, ", the cost of every unit at its cheapest level"));
  }
  KnapsackSolution solution;
  solution.cost_step = excess.divisor;
  const int64_t max_capacity = max_entries / num_units;
  if (room / solution.cost_step > max_capacity) {
    solution.cost_step = room / max_capacity + 1;
    solution.warning = absl::StrCat("the additive optimum is approximate: costs were rounded up to multiples of ",
                                    solution.cost_step, " (", room / excess.divisor, " steps of ", excess.divisor,
                                    " for ", num_units, " units are too many)");
  }
  std::vector<std::vector<int64_t>> steps = excess.by_unit_and_level;
  for (std::vector<int64_t>& by_level : steps) {
    for (int64_t& value : by_level) value = (value + solution.cost_step - 1) / solution.cost_step;
  }
  solution.mask = Solve(steps, scores, room / solution.cost_step);
  for (size_t unit = 0; unit < scores.size(); ++unit) solution.score += scores[unit][solution.mask.levels[unit]];
  ESPALIER_CHECK(cost.Of(solution.mask) <= target);
  return solution;
}

}  // namespace espalier
