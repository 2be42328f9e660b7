// Greedy structured Optimal Brain Surgeon (ZipLM, arXiv 2302.04089): which group of columns goes next, again and again.
// Exact for the set that it removes; only the choice of the set is greedy.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <functional>
#include <stop_token>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/prune/unit_problem.h"

namespace espalier {

struct EliminateOptions {
  // Single columns: removals whose updates of the two n x n matrices are put off and made as one product. 0: 64 on CPU,
  // 128 on CUDA; 1: every removal updates everything at once. The order is the same but for rounding (1e-12).
  int64_t block_columns = 0;
  // Single columns on CUDA: a block's removals as one kernel (removal_kernel.h) where the device can have it, which is
  // said once on the standard error when it cannot; false: an operator after the other, as on CPU.
  bool fused_removals = true;
};

// All groups of the prepared problem in the order in which they go. Ties (1e-9 relative) go to the lowest index. Work:
// about 2 n^3 operations in double, of which all but O(n^2 * block) are matrix products; no host synchronisation per group.
// `progress` is told how many groups are gone, now and then. kInvalidArgument when the damped moments are singular.
absl::StatusOr<std::vector<int>> EliminateGreedily(const PreparedProblem& prepared, int64_t group_size, const EliminateOptions& options,
                                                   const std::function<void(int64_t)>& progress, std::stop_token stop);

}  // namespace espalier
