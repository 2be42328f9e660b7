#include "worker/prune/compensation.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

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

double SquaredError(const UnitProblem& problem, const torch::Tensor& kept, const torch::Tensor& kept_weight) {
  torch::Tensor change_on = problem.weight_on.clone();
  if (kept.numel() > 0) change_on.index_add_(1, kept, kept_weight, -1);
  return 0.5 * torch::mm(change_on, problem.moment_nn).mul_(change_on).sum().item<double>();
}

}  // namespace espalier
