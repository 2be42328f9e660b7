#include "coordinator/search/uniform.h"

#include <algorithm>
#include <vector>

#include "common/base/check.h"
#include "coordinator/search/full.h"

namespace espalier {
namespace {

// A share as an exact fraction, so that equal shares of units of different size are equal.
struct Share {
  int64_t removed;
  int64_t size;
};
bool operator<(const Share& a, const Share& b) { return a.removed * b.size < b.removed * a.size; }

Mask MaskAtShare(const Ladder& ladder, const Share& share) {
  Mask mask;
  for (const UnitLadder& unit : ladder.units) {
    int level = 0;
    while (level + 1 < unit.num_levels() && Share{unit.removed[level], unit.size} < share) ++level;
    mask.levels.push_back(level);
  }
  return mask;
}

}  // namespace

Mask UniformMask(const Ladder& ladder, const Cost& cost, int64_t target) {
  std::vector<Share> shares;
  for (const UnitLadder& unit : ladder.units) {
    for (int removed : unit.removed) shares.push_back({removed, unit.size});
  }
  std::sort(shares.begin(), shares.end());
  // A larger share never costs more, so the first that fits is found by halving.
  const auto first = std::partition_point(
      shares.begin(), shares.end(), [&](const Share& share) { return cost.Of(MaskAtShare(ladder, share)) > target; });
  ESPALIER_CHECK(first != shares.end());
  Mask mask = MaskAtShare(ladder, *first);
  MakeFullInOrder(cost, target, &mask);
  return mask;
}

}  // namespace espalier
