// Least squares for nested sets of kept columns with one factorisation.
#pragma once

#include <vector>

#include "worker/prune/compensation.h"

namespace espalier {

// Compensation::RepairNested of "least_squares" on any device. With the columns in the reverse of the order in which they
// go, every set is a leading block, and so is its Cholesky factor: H_KK = L_KK L_KK^T and H_KP = L_KK L_PK^T, P the removed
// columns, so W'_K = W_K + (L_KK^-T L_PK^T W_P^T)^T. L_PK^T W_P^T grows from set to set by the columns that went in between,
// so a set costs one triangular solve. kInvalidArgument when the damped moments are singular.
absl::Status LeastSquaresOfNestedSets(const UnitProblem& problem, const PreparedProblem& prepared,
                                      const std::vector<torch::Tensor>& kept, const torch::Tensor& column_order,
                                      const Compensation::Take& take);

}  // namespace espalier
