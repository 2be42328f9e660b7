#include <algorithm>
#include <numeric>

#include "tests/support/catch.h"
#include "tests/unit/prune/reference.h"
#include "worker/model/device_runtime.h"
#include "worker/prune/compensation.h"
#include "worker/prune/criterion.h"
#include "worker/prune/eliminate.h"

namespace espalier {
namespace {

using testing::FillMoments;
using testing::MakeRandomUnit;
using testing::RandomUnit;
using testing::RunTextbook;

std::vector<int> Order(const UnitProblem& problem, int64_t block_columns) {
  EliminateOptions options;
  options.block_columns = block_columns;
  const auto order = EliminateGreedily(Prepare(problem), problem.group_size, options, nullptr, std::stop_token());
  REQUIRE_OK(order);
  return *order;
}

void RequirePermutation(std::vector<int> order) {
  std::sort(order.begin(), order.end());
  std::vector<int> all(order.size());
  std::iota(all.begin(), all.end(), 0);
  REQUIRE(order == all);
}

// Every choice is as good as the best one there was, to 1e-4, by the textbook's own double-precision scores. A column that
// costs nothing is measured against the largest score, since rounding decides among zeros.
void RequireGreedy(const UnitProblem& problem, const std::vector<int>& order) {
  const testing::TextbookRun run = RunTextbook(Prepare(problem), problem.group_size, order);
  const double rounding = 1e-12 * *std::max_element(run.chosen.begin(), run.chosen.end());
  for (size_t step = 0; step < order.size(); ++step) {
    INFO("step " << step << " removed group " << order[step]);
    REQUIRE(run.chosen[step] <= run.lowest[step] * (1 + 1e-4) + rounding);
  }
}

TEST_CASE("Elimination: random units are taken apart in the textbook's order", "[prune]") {
  SetComputeThreads(1);
  SECTION("single columns, unblocked and in blocks that do and do not divide them") {
    RandomUnit unit = MakeRandomUnit(1, 24, 150, 600, 1);
    FillMoments(unit);
    const std::vector<int> expected = RunTextbook(Prepare(unit.problem), 1, std::nullopt).order;
    for (const int64_t block : {0, 1, 7, 50, 1000}) REQUIRE(Order(unit.problem, block) == expected);
  }
  SECTION("more outputs than columns") {
    RandomUnit unit = MakeRandomUnit(2, 90, 40, 400, 1);
    FillMoments(unit);
    REQUIRE(Order(unit.problem, 16) == RunTextbook(Prepare(unit.problem), 1, std::nullopt).order);
  }
  SECTION("heads") {
    RandomUnit unit = MakeRandomUnit(3, 32, 96, 500, 8);
    FillMoments(unit);
    REQUIRE(Order(unit.problem, 0) == RunTextbook(Prepare(unit.problem), 8, std::nullopt).order);
  }
  SECTION("a single group and a single column") {
    RandomUnit unit = MakeRandomUnit(4, 5, 6, 50, 6);
    FillMoments(unit);
    REQUIRE(Order(unit.problem, 0) == std::vector<int>{0});
    RandomUnit one = MakeRandomUnit(5, 5, 1, 50, 1);
    FillMoments(one);
    REQUIRE(Order(one.problem, 0) == std::vector<int>{0});
  }
}

TEST_CASE("Elimination: degenerate units are still taken apart greedily", "[prune]") {
  SetComputeThreads(1);
  SECTION("columns that no token excites go first, lowest index first") {
    RandomUnit unit = MakeRandomUnit(6, 20, 40, 200, 1);
    for (const int64_t column : {30, 3, 17}) unit.x_Nn.select(1, column).zero_();
    FillMoments(unit);
    const std::vector<int> order = Order(unit.problem, 8);
    RequirePermutation(order);
    REQUIRE(std::vector<int>(order.begin(), order.begin() + 3) == std::vector<int>{3, 17, 30});
    RequireGreedy(unit.problem, order);
  }
  SECTION("all columns dead: by index") {
    RandomUnit unit = MakeRandomUnit(7, 4, 10, 20, 1);
    unit.x_Nn.zero_();
    FillMoments(unit);
    const std::vector<int> order = Order(unit.problem, 4);
    for (int i = 0; i < 10; ++i) REQUIRE(order[i] == i);
  }
  SECTION("equal columns: the lower index goes before its twin") {
    RandomUnit unit = MakeRandomUnit(8, 16, 48, 300, 1);
    for (const auto& [first, twin] : {std::pair<int, int>{5, 40}, {11, 12}}) {
      unit.x_Nn.select(1, twin).copy_(unit.x_Nn.select(1, first));
      unit.problem.weight_on.select(1, twin).copy_(unit.problem.weight_on.select(1, first));
    }
    FillMoments(unit);
    const std::vector<int> order = Order(unit.problem, 16);
    RequireGreedy(unit.problem, order);
    const auto place = [&](int column) { return std::find(order.begin(), order.end(), column) - order.begin(); };
    REQUIRE(place(5) < place(40));
    REQUIRE(place(11) < place(12));
  }
  SECTION("equal heads: the lower index goes before its twin") {
    RandomUnit unit = MakeRandomUnit(9, 16, 32, 300, 8);
    unit.x_Nn.narrow(1, 16, 8).copy_(unit.x_Nn.narrow(1, 0, 8));
    unit.problem.weight_on.narrow(1, 16, 8).copy_(unit.problem.weight_on.narrow(1, 0, 8));
    FillMoments(unit);
    const std::vector<int> order = Order(unit.problem, 0);
    REQUIRE(std::find(order.begin(), order.end(), 0) < std::find(order.begin(), order.end(), 2));
    RequireGreedy(unit.problem, order);
  }
  SECTION("fewer tokens than columns") {
    RandomUnit unit = MakeRandomUnit(10, 24, 120, 30, 1);
    FillMoments(unit);
    const std::vector<int> order = Order(unit.problem, 32);
    RequirePermutation(order);
    RequireGreedy(unit.problem, order);
    unit.problem.group_size = 12;
    RequireGreedy(unit.problem, Order(unit.problem, 0));
  }
  SECTION("singular without damping is refused") {
    RandomUnit unit = MakeRandomUnit(11, 4, 30, 10, 1);
    unit.x_Nn.select(1, 1).copy_(unit.x_Nn.select(1, 0));
    FillMoments(unit);
    unit.problem.moment_nn.diagonal().sub_(1e-6);
    unit.problem.damping = 0;
    const auto order = EliminateGreedily(Prepare(unit.problem), 1, EliminateOptions(), nullptr, std::stop_token());
    REQUIRE(order.status().code() == absl::StatusCode::kInvalidArgument);
  }
  SECTION("a stop ends it") {
    RandomUnit unit = MakeRandomUnit(12, 4, 30, 100, 1);
    FillMoments(unit);
    std::stop_source source;
    EliminateOptions options;
    options.block_columns = 10;
    const auto stop_at_first = [&](int64_t gone) { REQUIRE(gone == 10); source.request_stop(); };
    const auto order = EliminateGreedily(Prepare(unit.problem), 1, options, stop_at_first, source.get_token());
    REQUIRE(order.status().code() == absl::StatusCode::kCancelled);
  }
}

TEST_CASE("Compensation: every set's kept columns are the least-squares solution on the raw inputs", "[prune]") {
  SetComputeThreads(1);
  const auto made = MakeCompensation("least_squares");
  REQUIRE_OK(made);
  for (const int64_t group_size : {1, 8}) {
    RandomUnit unit = MakeRandomUnit(20 + group_size, 24, 64, 300, group_size);
    unit.x_Nn.select(1, 9).zero_();
    FillMoments(unit);
    const PreparedProblem prepared = Prepare(unit.problem);
    const std::vector<int> order = Order(unit.problem, 16);
    const torch::Tensor input_rows = testing::InputRows(unit.x_Nn);
    double last_error = 0;
    double sum_of_scores = 0;
    const testing::TextbookRun textbook = RunTextbook(prepared, group_size, order);
    for (size_t removed = 1; removed < order.size(); ++removed) {
      std::vector<int64_t> columns;
      for (size_t i = removed; i < order.size(); ++i) {
        for (int64_t j = 0; j < group_size; ++j) columns.push_back(order[i] * group_size + j);
      }
      std::sort(columns.begin(), columns.end());
      const torch::Tensor kept = torch::tensor(columns, torch::kInt64);
      const auto repaired = (*made)->Repair(unit.problem, prepared, kept);
      REQUIRE_OK(repaired);
      const double lambda = testing::Lambda(unit.problem);
      const torch::Tensor reference = testing::LeastSquaresOnInputs(input_rows, prepared.weight_on, lambda, kept);
      INFO("group size " << group_size << ", removed " << removed);
      REQUIRE(testing::RelativeDifference(*repaired, reference) < 1e-9);

      const double error = SquaredError(unit.problem, kept, *repaired);
      REQUIRE(error == Approx(testing::ErrorOnInputs(unit.x_Nn, unit.problem.weight_on, kept, *repaired)).epsilon(1e-9).margin(1e-12));
      REQUIRE(error >= last_error * (1 - 1e-5) - 1e-12);
      last_error = error;
      // What the greedy scores promised: half their sum is the error with the damping's share.
      sum_of_scores += textbook.chosen[removed - 1];
      torch::Tensor change = prepared.weight_on.clone();
      change.index_add_(1, kept, *repaired, -1);
      const double damped = error + lambda / 2 * change.square().sum().item<double>();
      REQUIRE(damped == Approx(sum_of_scores / 2).epsilon(1e-8).margin(1e-10));
    }
  }
}

TEST_CASE("Methods: every criterion and compensation is found by its name, others are refused with the known ones", "[prune]") {
  for (const CriterionEntry& entry : Criteria()) REQUIRE_OK(MakeCriterion(entry.name));
  for (const CompensationEntry& entry : Compensations()) REQUIRE_OK(MakeCompensation(entry.name));
  REQUIRE(MakeCriterion("magic").status().ToString().find("structured_obs") != std::string::npos);
  REQUIRE(MakeCompensation("magic").status().ToString().find("least_squares") != std::string::npos);
}

}  // namespace
}  // namespace espalier
