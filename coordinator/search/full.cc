#include "coordinator/search/full.h"

#include "common/base/check.h"

namespace espalier {
namespace {

bool FitsOneLower(const Cost& cost, int64_t room, const Mask& mask, int unit) {
  return mask.levels[unit] > 0 && cost.Delta(mask, unit, mask.levels[unit] - 1) <= room;
}

std::vector<int> UnitsThatFitOneLower(const Cost& cost, int64_t room, const Mask& mask) {
  std::vector<int> units;
  for (int unit = 0; unit < static_cast<int>(mask.levels.size()); ++unit) {
    if (FitsOneLower(cost, room, mask, unit)) units.push_back(unit);
  }
  return units;
}

}  // namespace

bool IsFull(const Cost& cost, int64_t target, const Mask& mask) {
  return UnitsThatFitOneLower(cost, target - cost.Of(mask), mask).empty();
}

void MakeFullInOrder(const Cost& cost, int64_t target, Mask* mask) {
  bool has_changed = true;
  while (has_changed) {
    has_changed = false;
    for (int unit = 0; unit < static_cast<int>(mask->levels.size()); ++unit) {
      if (!FitsOneLower(cost, target - cost.Of(*mask), *mask, unit)) continue;
      --mask->levels[unit];
      has_changed = true;
    }
  }
}

void MakeFullAtRandom(const Cost& cost, int64_t target, KeyedRandom* random, Mask* mask) {
  while (true) {
    const std::vector<int> units = UnitsThatFitOneLower(cost, target - cost.Of(*mask), *mask);
    if (units.empty()) return;
    --mask->levels[units[random->Below(units.size())]];
  }
}

void MakeFullByScore(const Cost& cost, int64_t target, const std::vector<std::vector<double>>& scores, Mask* mask) {
  while (true) {
    int best = -1;
    double best_change = 0;
    for (int unit : UnitsThatFitOneLower(cost, target - cost.Of(*mask), *mask)) {
      const int level = mask->levels[unit];
      const double change = scores[unit][level - 1] - scores[unit][level];
      if (best < 0 || change < best_change) {
        best = unit;
        best_change = change;
      }
    }
    if (best < 0) return;
    --mask->levels[best];
  }
}

void RestoreBudget(const Cost& cost, const Ladder& ladder, int64_t target, KeyedRandom* random, Mask* mask) {
  while (cost.Of(*mask) > target) {
    std::vector<int> units;
    for (int unit = 0; unit < static_cast<int>(mask->levels.size()); ++unit) {
      if (mask->levels[unit] + 1 < ladder.units[unit].num_levels()) units.push_back(unit);
    }
    ESPALIER_CHECK(!units.empty());
    ++mask->levels[units[random->Below(units.size())]];
  }
  MakeFullAtRandom(cost, target, random, mask);
}

}  // namespace espalier
