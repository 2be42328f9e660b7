#include "absl/strings/str_cat.h"
#include "worker/prune/compensation.h"

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
};

}  // namespace

std::unique_ptr<Compensation> MakeLeastSquares() { return std::make_unique<LeastSquares>(); }

}  // namespace espalier
