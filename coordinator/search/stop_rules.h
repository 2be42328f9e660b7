// When a search ends before its schedule does, other than by wall time (which is told).
#pragma once

#include <cstdint>

#include "common/domain/job.h"

namespace espalier {

// Whether a generation may begin: what was trained, what it will train and the play-off after it must fit the budget
// (0: no limit), so that a job never trains more than it was given. Recovery is apart.
bool FitsTokenBudget(const JobSpec& spec, int64_t trained_tokens, int64_t generation_tokens, int num_finalists);

// Counts generations without a better parent on the select windows, in the phase and in the job.
class Patience {
 public:
  // A phase begins with this fitness of its first parent (an infeasible one: infinity); the job's count goes on.
  void BeginPhase(double fitness);
  void GenerationEnded(double fitness);  // of the parent now: the same one, or a new one measured
  bool IsPhaseOver(const Phase& phase) const { return phase.patience > 0 && in_phase_ >= phase.patience; }
  bool IsJobOver(const StopRules& stop) const { return stop.patience > 0 && in_job_ >= stop.patience; }

 private:
  double best_ = 0;
  int in_phase_ = 0;
  int in_job_ = 0;
};

}  // namespace espalier
