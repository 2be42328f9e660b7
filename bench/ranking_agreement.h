// Whether two ways of computing a stage put its candidates in the same order, as far as the number format can tell. Free of
// LibTorch.
#pragma once

#include <string>
#include <vector>

namespace espalier::bench {

// Fitness of one stage's candidates, each list in the candidates' order.
struct StageFitness {
  int survivors = 1;
  std::vector<double> fast;   // graphs, fused kernels, several candidates at once
  std::vector<double> plain;  // one eager step after the other
  std::vector<std::vector<double>> nudged;  // the fast way, from weights of which some begin a rounding apart
};

struct StageAgreement {
  double spearman = 0;    // of fast with plain; 0 for a single candidate
  double noise = 0;       // the most that a rounding at the start moves one candidate's fitness
  double most_apart = 0;  // fast from plain
  double spread = 0;      // of plain, best to worst
  int exchanged = 0;      // survivors by one way that are none by the other
  std::string fault;      // empty: the stage's order is the same within the noise
};

// Each fitness is known up to the noise, so the order of two candidates counts when they are more than twice that apart.
// At fault is a stage that orders such a pair otherwise, and a large stage (eight or more) whose candidates all lie within
// the noise: it would agree with anything.
StageAgreement Agreement(const StageFitness& stage);

}  // namespace espalier::bench
