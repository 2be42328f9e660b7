#include "worker/prune/compensation.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/status_macros.h"

namespace espalier {

std::unique_ptr<Compensation> MakeLeastSquares();  // least_squares.cc

const std::vector<CompensationEntry>& Compensations() {
  static const auto* const entries = new std::vector<CompensationEntry>{
      {"least_squares", "closed-form least squares on the output projection's kept columns", &MakeLeastSquares},
  };
  return *entries;
}

absl::StatusOr<std::unique_ptr<Compensation>> MakeCompensation(const std::string& name) {
  std::vector<std::string> known;
  for (const CompensationEntry& entry : Compensations()) {
    if (name == entry.name) return entry.make();
    known.push_back(entry.name);
  }
  return absl::InvalidArgumentError(absl::StrCat("unknown compensation '", name, "'; known: ", absl::StrJoin(known, ", ")));
}

absl::Status Compensation::RepairNested(const UnitProblem& problem, const PreparedProblem& prepared,
                                        const std::vector<torch::Tensor>& kept, const torch::Tensor&, const Take& take) const {
  for (size_t set = 0; set < kept.size(); ++set) {
    ESPALIER_ASSIGN_OR_RETURN(const torch::Tensor repaired, Repair(problem, prepared, kept[set]));
    ESPALIER_RETURN_IF_ERROR(take(set, repaired));
  }
  return absl::OkStatus();
}

double SquaredError(const UnitProblem& problem, const torch::Tensor& kept, const torch::Tensor& kept_weight) {
  torch::Tensor change_on = problem.weight_on.clone();
  if (kept.numel() > 0) change_on.index_add_(1, kept, kept_weight, -1);
  return 0.5 * torch::mm(change_on, problem.moment_nn).mul_(change_on).sum().item<double>();
}

}  // namespace espalier
