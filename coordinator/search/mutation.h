// Level switches: each lowers the level of one unit and raises that of another.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "common/base/random.h"
#include "common/domain/cost.h"
#include "common/domain/mask.h"
#include "coordinator/search/offspring_tally.h"

namespace espalier {

// Relative frequencies of the two operators; their sum is positive.
struct MutationWeights {
  double same_kind = 1;   // both units attention or both FFN, as DarwinLM
  double cross_kind = 0;  // one of each
};

struct Mutation {
  Mask mask;
  Operator by = Operator::kSameKind;
};

// n = min(U{1..3}, U{1..3}) switches. A switch lowers one random unit that is not intact and raises one random unit
// that is not at its last level (as published, it may be the same one); same-kind switches choose the kind in
// proportion to its number of units, cross-kind switches choose the direction evenly. A switch that no unit allows is
// left out.
Mutation Mutate(const Mask& parent, const Ladder& ladder, const MutationWeights& weights, KeyedRandom* random);

struct Offspring {
  Mask mask;
  std::string digest;
  Operator by = Operator::kSameKind;
};

inline constexpr int kMaxFailedDraws = 1000;

// `count` mutated, repaired and full masks, no two equal and none equal to the parent. After kMaxFailedDraws draws that
// gave nothing new the list stays shorter. A function of (seed, generation) and the arguments.
std::vector<Offspring> DrawOffspring(const Mask& parent, const Ladder& ladder, const Cost& cost, int64_t target,
                                     const MutationWeights& weights, uint64_t seed, int generation, int count);

}  // namespace espalier
