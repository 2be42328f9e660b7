// Fullness: a mask is full when no single unit can be put one level lower within the target.
#pragma once

#include <cstdint>
#include <vector>

#include "common/base/random.h"
#include "common/domain/cost.h"

namespace espalier {

bool IsFull(const Cost& cost, int64_t target, const Mask& mask);

// Pass after pass over the units in the ladder's order, each one level lower where it fits, until full.
void MakeFullInOrder(const Cost& cost, int64_t target, Mask* mask);

// Units chosen at random among those that fit one level lower, until full.
void MakeFullAtRandom(const Cost& cost, int64_t target, KeyedRandom* random, Mask* mask);

// Always the unit whose score falls most (or rises least) when put one level lower, until full; scores by unit and
// level, ties to the unit that comes first.
void MakeFullByScore(const Cost& cost, int64_t target, const std::vector<std::vector<double>>& scores, Mask* mask);

// The repair after a mutation: units chosen at random are put one level higher until the mask costs at most the target,
// then it is made full at random. The ladder's last levels must fit the target.
void RestoreBudget(const Cost& cost, const Ladder& ladder, int64_t target, KeyedRandom* random, Mask* mask);

}  // namespace espalier
