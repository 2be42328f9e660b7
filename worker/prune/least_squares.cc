#include "worker/prune/least_squares.h"

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"

namespace espalier {
namespace {

// W'_K = W_K + W_P H_PK (H_KK)^-1, where P are the removed columns: what the sequence of single removals ends in, too, but
// without its rounding, and independent of the order within the set.
class LeastSquares final : public Compensation {
 public:
  std::vector<Statistic> Needs() const override { return {Statistic::kSecondMoments}; }

  absl::StatusOr<torch::Tensor> Repair(const UnitProblem& problem, const PreparedProblem& prepared,
                                       const torch::Tensor& kept) const override {
    const int64_t n = problem.num_columns();
    torch::Tensor kept_weight = prepared.weight_on.index_select(1, kept);
    if (kept.numel() == n) return kept_weight;
    const torch::Tensor removed = torch::ones({n}, kept.options().dtype(torch::kBool)).index_fill_(0, kept, 0).nonzero().squeeze(1);
    const torch::Tensor rows_Kn = prepared.damped_nn.index_select(0, kept);
    const auto [factor, info] = at::linalg_cholesky_ex(rows_Kn.index_select(1, kept));
    if (info.item<int>() != 0) {
      return absl::InvalidArgumentError(absl::StrCat("the second moments of ", kept.numel(), " kept columns are singular with damping ",
                                                     problem.damping, "; raise the damping"));
    }
    const torch::Tensor lost_Ko = rows_Kn.index_select(1, removed).mm(prepared.weight_on.index_select(1, removed).t());
    return kept_weight.add_(at::cholesky_solve(lost_Ko, factor).t());
  }

  // Not on CPU: factorisations cost little there beside the order, and results are to stay the same to the last bit.
  absl::Status RepairNested(const UnitProblem& problem, const PreparedProblem& prepared, const std::vector<torch::Tensor>& kept,
                            const torch::Tensor& column_order, const Take& take) const override {
    if (!prepared.damped_nn.is_cuda()) return Compensation::RepairNested(problem, prepared, kept, column_order, take);
    return LeastSquaresOfNestedSets(problem, prepared, kept, column_order, take);
  }
};

}  // namespace

absl::Status LeastSquaresOfNestedSets(const UnitProblem& problem, const PreparedProblem& prepared,
                                      const std::vector<torch::Tensor>& kept, const torch::Tensor& column_order,
                                      const Compensation::Take& take) {
  const int64_t n = problem.num_columns();
  const torch::Tensor sequence = column_order.flip(0);
  const torch::Tensor weight_on = prepared.weight_on.index_select(1, sequence);
  const auto [factor_nn, info] = at::linalg_cholesky_ex(prepared.damped_nn.index_select(0, sequence).index_select(1, sequence));
  if (info.item<int>() != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("the second moments are singular with damping ", problem.damping, "; raise the damping"));
  }
  torch::Tensor lost_Ko = torch::zeros({n, weight_on.size(0)}, weight_on.options());
  int64_t last = n;
  for (size_t set = 0; set < kept.size(); ++set) {
    const int64_t count = kept[set].numel();
    if (count == 0 || count > last) return absl::InternalError("the sets of kept columns are not nested");
    lost_Ko = lost_Ko.narrow(0, 0, count);
    if (count < last) {
      const torch::Tensor went_PK = factor_nn.narrow(0, count, last - count).narrow(1, 0, count);
      lost_Ko.addmm_(went_PK.t(), weight_on.narrow(1, count, last - count).t());
    }
    const torch::Tensor factor_KK = factor_nn.narrow(0, 0, count).narrow(1, 0, count);
    const torch::Tensor change_Ko = at::linalg_solve_triangular(factor_KK.t(), lost_Ko, /*upper=*/true);
    const torch::Tensor repaired = weight_on.narrow(1, 0, count) + change_Ko.t();
    const torch::Tensor ascending = std::get<1>(at::sort(sequence.narrow(0, 0, count)));
    ESPALIER_RETURN_IF_ERROR(take(set, repaired.index_select(1, ascending)));
    last = count;
  }
  return absl::OkStatus();
}

std::unique_ptr<Compensation> MakeLeastSquares() { return std::make_unique<LeastSquares>(); }

}  // namespace espalier
