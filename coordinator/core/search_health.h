// How a running search does, in the few numbers that its metrics show.
#pragma once

#include "coordinator/search/job_program.h"

namespace espalier {

struct SearchHealth {
  int generations = 0;  // that have ended
  // Of the candidates of the last one that were measured, at the last stage that each reached.
  double best_fitness = 0;
  double p10_fitness = 0;  // a tenth of them is as good or better
  double median_fitness = 0;
  double p90_fitness = 0;
  double worst_fitness = 0;
  double diversity_ratio = 0;     // mean share of units in which two of its candidates differ
  double unique_ratio = 0;        // of its candidates, those with a mask of their own
  double rank_agreement = 0;      // GenerationView's
  int stagnation = 0;             // generations at the end with the same parent, less one
  double parent_size_ratio = 0;   // the parent's cost over the dense model's
};

// The earlier answer as long as no further generation has ended. `dense_cost`: JobPreview's.
SearchHealth HealthOf(const JobProgram& program, int64_t dense_cost, const SearchHealth& earlier);

}  // namespace espalier
