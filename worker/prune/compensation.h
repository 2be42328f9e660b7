// Compensations: what repairs the weights that stay. A new one is one file with a class and one line in the table of
// compensation.cc.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/prune/unit_problem.h"

namespace espalier {

class Compensation {
 public:
  virtual ~Compensation() = default;
  virtual std::vector<Statistic> Needs() const = 0;

  // The weights [d_out, kept] of the kept columns (int64, ascending, on the problem's device), in double.
  virtual absl::StatusOr<torch::Tensor> Repair(const UnitProblem& problem, const PreparedProblem& prepared,
                                               const torch::Tensor& kept) const = 0;

  // Is given each set's weights, in double; `set` counts from 0.
  using Take = std::function<absl::Status(size_t set, const torch::Tensor& repaired)>;
  // Repair for nested sets: set i keeps what the last `kept[i].numel()` of `column_order` (int64, all columns in the order
  // in which they go) name, and each set is within the one before. Equal to Repair but for rounding on CUDA, where one
  // factorisation may serve all sets; bitwise equal on CPU. Ends with the first status of `take` that is not OK.
  virtual absl::Status RepairNested(const UnitProblem& problem, const PreparedProblem& prepared,
                                    const std::vector<torch::Tensor>& kept, const torch::Tensor& column_order,
                                    const Take& take) const;
};

struct CompensationEntry {
  const char* name;
  const char* description;
  std::unique_ptr<Compensation> (*make)();
};
const std::vector<CompensationEntry>& Compensations();

// kInvalidArgument names what exists.
absl::StatusOr<std::unique_ptr<Compensation>> MakeCompensation(const std::string& name);

// tr(E H E^T) / 2 with E = W - W', where W' is `kept_weight` in the kept columns and zero elsewhere, on the undamped
// moments: with H = (2/N) sum x x^T the mean squared output error per token.
double SquaredError(const UnitProblem& problem, const torch::Tensor& kept, const torch::Tensor& kept_weight);

}  // namespace espalier
