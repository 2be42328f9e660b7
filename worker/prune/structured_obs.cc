#include "worker/prune/criterion.h"
#include "worker/prune/eliminate.h"

namespace espalier {
namespace {

class StructuredObs final : public Criterion {
 public:
  std::vector<Statistic> Needs() const override { return {Statistic::kSecondMoments}; }

  absl::StatusOr<std::vector<int>> Order(const UnitProblem& problem, const std::function<void(int64_t)>& progress,
                                         std::stop_token stop) const override {
    return EliminateGreedily(Prepare(problem), problem.group_size, EliminateOptions(), progress, stop);
  }
};

}  // namespace

std::unique_ptr<Criterion> MakeStructuredObs() { return std::make_unique<StructuredObs>(); }

}  // namespace espalier
