#include <algorithm>
#include <vector>

#include "tests/support/catch.h"
#include "tests/unit/prune/reference.h"
#include "worker/model/device_runtime.h"
#include "worker/prune/eliminate.h"
#include "worker/prune/least_squares.h"
#include "worker/prune/removal_source.h"
#include "worker/model/runtime_kernel.h"

namespace espalier {
namespace {

struct NestedSets {
  std::vector<torch::Tensor> kept;
  torch::Tensor column_order;
};

// What stays after each count of removed groups, for an order of groups.
NestedSets SetsOf(const UnitProblem& problem, const std::vector<int>& order, const std::vector<int64_t>& removed) {
  std::vector<int64_t> columns;
  for (const int group : order) {
    for (int64_t i = 0; i < problem.group_size; ++i) columns.push_back(group * problem.group_size + i);
  }
  NestedSets sets;
  sets.column_order = torch::tensor(columns, torch::kInt64);
  for (const int64_t count : removed) {
    std::vector<int64_t> kept(columns.begin() + count * problem.group_size, columns.end());
    std::sort(kept.begin(), kept.end());
    sets.kept.push_back(torch::tensor(kept, torch::kInt64));
  }
  return sets;
}

TEST_CASE("Nested sets: one factorisation gives what each set's own gives", "[prune]") {
  SetComputeThreads(1);
  const auto own = MakeCompensation("least_squares");
  REQUIRE_OK(own);
  for (const int64_t group_size : {1, 8}) {
    testing::RandomUnit unit = testing::MakeRandomUnit(40 + group_size, 24, 64, 300, group_size);
    unit.x_Nn.select(1, 9).zero_();
    testing::FillMoments(unit);
    const PreparedProblem prepared = Prepare(unit.problem);
    const auto order = EliminateGreedily(prepared, group_size, EliminateOptions(), nullptr, std::stop_token());
    REQUIRE_OK(order);
    // Two counts twice, the first set intact, the last one a single group.
    const NestedSets sets = SetsOf(unit.problem, *order, {0, 1, 1, 3, 4, 7, 7});
    size_t taken = 0;
    const auto compare = [&](size_t set, const torch::Tensor& repaired) {
      REQUIRE(set == taken++);
      const auto expected = (*own)->Repair(unit.problem, prepared, sets.kept[set]);
      REQUIRE_OK(expected);
      REQUIRE(testing::RelativeDifference(repaired, *expected) < 1e-10);
      return absl::OkStatus();
    };
    REQUIRE_OK(LeastSquaresOfNestedSets(unit.problem, prepared, sets.kept, sets.column_order, compare));
    REQUIRE(taken == sets.kept.size());

    // The CPU's results are those of Repair to the last bit.
    const auto equal = [&](size_t set, const torch::Tensor& repaired) {
      const auto expected = (*own)->Repair(unit.problem, prepared, sets.kept[set]);
      REQUIRE_OK(expected);
      REQUIRE(at::equal(repaired, *expected));
      return absl::OkStatus();
    };
    REQUIRE_OK((*own)->RepairNested(unit.problem, prepared, sets.kept, sets.column_order, equal));
  }
}

TEST_CASE("Nested sets: the first refusal ends the work, sets that grow and singular moments are errors", "[prune]") {
  SetComputeThreads(1);
  testing::RandomUnit unit = testing::MakeRandomUnit(50, 8, 12, 100, 1);
  testing::FillMoments(unit);
  const std::vector<int> order = {3, 1, 2, 0, 5, 4, 7, 6, 9, 8, 11, 10};
  const NestedSets sets = SetsOf(unit.problem, order, {2, 5, 9});
  int taken = 0;
  const auto refuse = [&](size_t, const torch::Tensor&) {
    ++taken;
    return absl::CancelledError("enough");
  };
  REQUIRE(absl::IsCancelled(LeastSquaresOfNestedSets(unit.problem, Prepare(unit.problem), sets.kept, sets.column_order, refuse)));
  REQUIRE(taken == 1);
  const auto accept = [](size_t, const torch::Tensor&) { return absl::OkStatus(); };
  const NestedSets growing = SetsOf(unit.problem, order, {5, 2});
  REQUIRE_FALSE(
      LeastSquaresOfNestedSets(unit.problem, Prepare(unit.problem), growing.kept, growing.column_order, accept).ok());
  unit.problem.moment_nn = -at::eye(12, unit.problem.moment_nn.options());
  PreparedProblem indefinite{unit.problem.weight_on, unit.problem.moment_nn};
  REQUIRE(absl::IsInvalidArgument(
      LeastSquaresOfNestedSets(unit.problem, indefinite, sets.kept, sets.column_order, accept)));
}

TEST_CASE("Removal kernel: its source compiles where NVRTC is, and a wrong one is refused with the compiler's words", "[prune]") {
  const absl::StatusOr<std::string> code = CompileCuda(kRemovalSource, "sm_90");
  if (absl::IsUnavailable(code.status())) {
    WARN("not compiled: " << code.status());
    return;
  }
  REQUIRE_OK(code);
  REQUIRE(code->find("RemoveColumns") != std::string::npos);
  const absl::Status refused = CompileCuda("__global__ void Broken() { no_such_thing(); }", "sm_90").status();
  REQUIRE(absl::IsInvalidArgument(refused));
  REQUIRE(refused.ToString().find("no_such_thing") != std::string::npos);
}

}  // namespace
}  // namespace espalier
