#include "coordinator/search/mutation.h"

#include <algorithm>
#include <set>
#include <utility>

#include "coordinator/search/full.h"

namespace espalier {
namespace {

UnitKind Other(UnitKind kind) { return kind == UnitKind::kAttention ? UnitKind::kFfn : UnitKind::kAttention; }

// Units of the kind that can move by `step` (-1 lower, +1 higher).
std::vector<int> Movable(const Mask& mask, const Ladder& ladder, UnitKind kind, int step) {
  std::vector<int> units;
  for (int unit = 0; unit < static_cast<int>(mask.levels.size()); ++unit) {
    const int level = mask.levels[unit] + step;
    if (ladder.units[unit].unit.kind == kind && level >= 0 && level < ladder.units[unit].num_levels())
      units.push_back(unit);
  }
  return units;
}

UnitKind KindByNumberOfUnits(const Ladder& ladder, KeyedRandom* random) {
  return ladder.units[random->Below(ladder.units.size())].unit.kind;
}

// Whether the units allowed it.
bool Switch(const Ladder& ladder, UnitKind lowered_kind, UnitKind raised_kind, KeyedRandom* random, Mask* mask) {
  const std::vector<int> lowerable = Movable(*mask, ladder, lowered_kind, -1);
  if (lowerable.empty()) return false;
  Mask changed = *mask;
  --changed.levels[lowerable[random->Below(lowerable.size())]];
  const std::vector<int> raisable = Movable(changed, ladder, raised_kind, +1);
  if (raisable.empty()) return false;
  ++changed.levels[raisable[random->Below(raisable.size())]];
  *mask = changed;
  return true;
}

}  // namespace

const char* Name(Operator by) {
  switch (by) {
    case Operator::kSameKind: return "same_kind";
    case Operator::kCrossKind: return "cross_kind";
    case Operator::kBothKinds: return "both_kinds";
  }
  return "unknown";
}

Mutation Mutate(const Mask& parent, const Ladder& ladder, const MutationWeights& weights, KeyedRandom* random) {
  Mask mask = parent;
  bool has_same = false;
  bool has_cross = false;
  const uint64_t first = 1 + random->Below(3);
  const uint64_t second = 1 + random->Below(3);
  for (uint64_t i = 0; i < std::min(first, second); ++i) {
    const bool is_cross = random->Unit() * (weights.same_kind + weights.cross_kind) >= weights.same_kind;
    if (is_cross) {
      const UnitKind lowered = random->Below(2) == 0 ? UnitKind::kAttention : UnitKind::kFfn;
      has_cross |= Switch(ladder, lowered, Other(lowered), random, &mask);
    } else {
      const UnitKind kind = KindByNumberOfUnits(ladder, random);
      has_same |= Switch(ladder, kind, kind, random, &mask);
    }
  }
  const Operator by = !has_cross ? Operator::kSameKind : has_same ? Operator::kBothKinds : Operator::kCrossKind;
  return {std::move(mask), by};
}

std::vector<Offspring> DrawOffspring(const Mask& parent, const Ladder& ladder, const Cost& cost, int64_t target,
                                     const MutationWeights& weights, uint64_t seed, int generation, int count) {
  std::vector<Offspring> offspring;
  std::set<std::string> seen = {Digest(ladder, parent)};
  int num_failed = 0;
  for (int index = 0; index < count && num_failed < kMaxFailedDraws; ++index) {
    KeyedRandom random(seed, "mutation", {generation, index});
    while (num_failed < kMaxFailedDraws) {
      auto [mask, by] = Mutate(parent, ladder, weights, &random);
      RestoreBudget(cost, ladder, target, &random, &mask);
      std::string digest = Digest(ladder, mask);
      if (seen.insert(digest).second) {
        offspring.push_back({std::move(mask), std::move(digest), by});
        break;
      }
      ++num_failed;
    }
  }
  return offspring;
}

}  // namespace espalier
