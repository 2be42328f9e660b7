#include "worker/prune/unit_problem.h"

namespace espalier {

PreparedProblem Prepare(const UnitProblem& problem) {
  const torch::Tensor diagonal = problem.moment_nn.diagonal();
  const torch::Tensor never_excited = diagonal <= 0;
  PreparedProblem prepared;
  prepared.weight_on = problem.weight_on.masked_fill(never_excited, 0);
  prepared.damped_nn = problem.moment_nn.clone();
  prepared.damped_nn.diagonal().add_(diagonal.mean(), problem.damping).masked_fill_(never_excited, 1);
  return prepared;
}

}  // namespace espalier
