// One unit's pruning problem, as criteria and compensations see it.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <functional>
#include <stop_token>

namespace espalier {

// What a method needs to know of the calibration tokens. The worker collects what the job's criterion and compensation
// declare.
enum class Statistic { kSecondMoments };

// Remove groups of input columns of W [d_out, n] so that W's output changes least. Group i is the columns
// [i * group_size, (i + 1) * group_size): one neuron, one head, or the query heads of one KV group. All tensors are
// double, on one device.
struct UnitProblem {
  torch::Tensor weight_on;
  torch::Tensor moment_nn;  // second moments as collected, not damped
  int64_t group_size = 1;
  double damping = 0.01;  // of the mean diagonal

  int64_t num_columns() const { return weight_on.size(1); }
  int64_t num_groups() const { return num_columns() / group_size; }
};

struct PreparedProblem {
  torch::Tensor weight_on;  // columns that no token ever excites are zero
  torch::Tensor damped_nn;  // H + damping * mean(diag H) * I; the diagonal is 1 for columns that no token ever excites
};

// What every second-moment method starts from (ZipLM, arXiv 2302.04089; research note: section "structured OBS").
PreparedProblem Prepare(const UnitProblem& problem);

}  // namespace espalier
