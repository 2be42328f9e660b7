// Who survives a stage. All members were scored on the same windows, so the order by mean fitness is the order by mean
// paired difference; ties are broken by digest.
#pragma once

#include <string>
#include <vector>

#include "common/domain/measurement.h"

namespace espalier {

struct Ranked {
  int candidate = 0;
  std::string digest;
  Measurement measurement;
};

// Feasible members, best first.
std::vector<Ranked> Rank(std::vector<Ranked> members);

// Spearman's rank correlation of two lists of fitness, pair by pair (average ranks for ties); 0 for fewer than two
// pairs or when one list is constant.
double RankAgreement(const std::vector<double>& a, const std::vector<double>& b);

}  // namespace espalier
