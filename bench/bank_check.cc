#include "bench/bank_check.h"

#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>
#include <string>
#include <tuple>
#include <vector>

#include "absl/strings/str_cat.h"
#include "bench/bench_model.h"
#include "bench/options.h"
#include "bench/report.h"
#include "common/base/status_macros.h"
#include "worker/model/device_runtime.h"
#include "worker/prune/compensation.h"
#include "worker/prune/eliminate.h"

namespace espalier::bench {
namespace {

struct UnitShape {
  const char* name;
  int64_t outputs, columns, group_size, tokens;
};

// Inputs with mixed columns and widely different scales, as activations have.
UnitProblem RandomProblem(const UnitShape& shape, torch::Device device) {
  at::manual_seed(7);
  const auto options = torch::dtype(torch::kFloat64).device(device);
  const int64_t n = shape.columns;
  const torch::Tensor mix = at::eye(n, options) + 0.5 * at::randn({n, n}, options) / std::sqrt(static_cast<double>(n));
  const torch::Tensor x_Nn = (at::randn({shape.tokens, n}, options) * at::randn({n}, options).exp_()).mm(mix);
  UnitProblem problem;
  problem.weight_on = at::randn({shape.outputs, n}, options);
  problem.group_size = shape.group_size;
  problem.moment_nn = x_Nn.t().mm(x_Nn).mul_(2.0 / static_cast<double>(shape.tokens));
  return problem;
}

// Group 1 is group 0 again, the last but one excites nothing.
void MakeDegenerate(UnitProblem& problem) {
  const int64_t size = problem.group_size, dead = problem.num_columns() - 2 * size;
  problem.weight_on.narrow(1, size, size).copy_(problem.weight_on.narrow(1, 0, size));
  problem.moment_nn.narrow(0, size, size).copy_(problem.moment_nn.narrow(0, 0, size).clone());
  problem.moment_nn.narrow(1, size, size).copy_(problem.moment_nn.narrow(1, 0, size).clone());
  problem.moment_nn.narrow(0, dead, size).zero_();
  problem.moment_nn.narrow(1, dead, size).zero_();
}

UnitProblem Moved(const UnitProblem& problem, torch::Device device) {
  return {problem.weight_on.to(device), problem.moment_nn.to(device), problem.group_size, problem.damping};
}

absl::StatusOr<std::vector<int>> Order(const UnitProblem& problem, bool fused, int64_t block) {
  EliminateOptions options;
  options.fused_removals = fused;
  options.block_columns = block;
  return EliminateGreedily(Prepare(problem), problem.group_size, options, nullptr, {});
}

bool IsPermutation(std::vector<int> order, int64_t size) {
  std::sort(order.begin(), order.end());
  std::vector<int> all(static_cast<size_t>(size));
  std::iota(all.begin(), all.end(), 0);
  return order == all;
}

// By how much, relatively, a choice of the order was worse than the best there was: the published loop on W and H^-1
// themselves, in double. What costs nothing is measured against the largest score.
double WorstChoice(const UnitProblem& problem, const std::vector<int>& order) {
  const PreparedProblem prepared = Prepare(problem);
  const int64_t size = problem.group_size, groups = problem.num_groups();
  torch::Tensor weight = prepared.weight_on.clone(), inverse = at::linalg_inv(prepared.damped_nn);
  torch::Tensor gone = at::zeros({groups}, weight.options());
  torch::Tensor chosen = at::zeros({groups}, weight.options()), lowest = at::zeros({groups}, weight.options());
  for (int64_t step = 0; step < groups; ++step) {
    const torch::Tensor blocks =
        inverse.view({groups, size, groups, size}).diagonal(0, 0, 2).permute({2, 0, 1}).contiguous();
    const torch::Tensor parts = weight.view({-1, groups, size}).permute({1, 0, 2}).contiguous();
    const torch::Tensor weighted = size == 1 ? parts / blocks : parts.bmm(at::linalg_inv(blocks));
    const torch::Tensor scores = (weighted * parts).sum({1, 2}) + gone;
    const int64_t group = order[static_cast<size_t>(step)];
    chosen.narrow(0, step, 1).copy_(scores.narrow(0, group, 1));
    lowest.narrow(0, step, 1).copy_(scores.amin());
    gone.narrow(0, group, 1).fill_(std::numeric_limits<double>::infinity());
    const torch::Tensor rows = inverse.narrow(0, group * size, size).clone();
    const torch::Tensor block = at::linalg_inv(rows.narrow(1, group * size, size)).mm(rows);
    weight.sub_(weight.narrow(1, group * size, size).mm(block));
    inverse.sub_(rows.t().mm(block));
    weight.narrow(1, group * size, size).zero_();
    inverse.narrow(0, group * size, size).zero_();
    inverse.narrow(1, group * size, size).zero_();
    inverse.diagonal().narrow(0, group * size, size).fill_(1);
  }
  const torch::Tensor rounding = chosen.amax().mul(1e-12);
  return ((chosen - rounding) / lowest.clamp_min(1e-300) - 1).amax().item<double>();
}

struct Sets {
  std::vector<torch::Tensor> kept;  // ascending columns
  torch::Tensor column_order;
};

Sets SetsOf(const UnitProblem& problem, const std::vector<int>& order, int64_t levels) {
  const auto options = torch::dtype(torch::kInt64);
  const torch::Tensor groups = torch::tensor(order, torch::kInt32).to(torch::kInt64);
  const torch::Tensor columns =
      (groups.unsqueeze(1) * problem.group_size + at::arange(problem.group_size, options)).flatten();
  Sets sets{{}, columns.to(problem.weight_on.device())};
  const int64_t count = problem.num_groups();
  for (int64_t level = 1; level + 1 < levels; ++level) {
    const int64_t removed = count * level / (levels - 1) * problem.group_size;
    if (removed == 0) continue;
    const torch::Tensor kept = columns.narrow(0, removed, columns.numel() - removed);
    sets.kept.push_back(std::get<0>(at::sort(kept)).to(problem.weight_on.device()));
  }
  return sets;
}

// The largest relative difference of a set's weights from the CPU's own solution of that set.
absl::StatusOr<double> RepairDifference(const UnitProblem& host, const UnitProblem& problem, const std::vector<int>& order) {
  ESPALIER_ASSIGN_OR_RETURN(const auto compensation, MakeCompensation("least_squares"));
  const Sets sets = SetsOf(problem, order, 6);
  const PreparedProblem host_prepared = Prepare(host);
  double worst = 0;
  const auto compare = [&](size_t set, const torch::Tensor& repaired) -> absl::Status {
    ESPALIER_ASSIGN_OR_RETURN(const torch::Tensor expected, compensation->Repair(host, host_prepared, sets.kept[set].cpu()));
    worst = std::max(worst, ((repaired.cpu() - expected).norm() / expected.norm()).item<double>());
    return absl::OkStatus();
  };
  ESPALIER_RETURN_IF_ERROR(compensation->RepairNested(problem, Prepare(problem), sets.kept, sets.column_order, compare));
  return worst;
}

absl::Status CheckUnit(const UnitShape& shape, bool degenerate, int64_t block, torch::Device device, Report& report) {
  UnitProblem host = RandomProblem(shape, torch::kCPU);
  if (degenerate) MakeDegenerate(host);
  const UnitProblem problem = Moved(host, device);
  ESPALIER_ASSIGN_OR_RETURN(const std::vector<int> expected, Order(host, false, block));
  ESPALIER_ASSIGN_OR_RETURN(const std::vector<int> plain, Order(problem, false, block));
  ESPALIER_ASSIGN_OR_RETURN(const std::vector<int> fused, Order(problem, true, block));
  if (!IsPermutation(fused, problem.num_groups())) {
    return absl::InternalError(absl::StrCat(shape.name, ": the order is no permutation"));
  }
  const double worst = WorstChoice(problem, fused);
  ESPALIER_ASSIGN_OR_RETURN(const double difference, RepairDifference(host, problem, fused));
  Row row;
  row.Text("unit", shape.name).Count("columns", shape.columns).Count("group", shape.group_size).Count("block", block);
  row.Text("as the CPU", fused == expected ? "yes" : "no").Text("plain as the CPU", plain == expected ? "yes" : "no");
  row.Number("worst choice, 1e-9", worst * 1e9, 3).Number("repair, 1e-12", difference * 1e12, 3);
  report.Add(row);
  if (!(worst <= 1e-4)) return absl::InternalError(absl::StrCat(shape.name, ": a choice is ", worst, " above the lowest score"));
  if (!(difference <= 1e-8)) return absl::InternalError(absl::StrCat(shape.name, ": repaired weights differ by ", difference));
  return absl::OkStatus();
}

// Best of three, after one that is not counted.
double Seconds(torch::Device device, const std::function<void()>& work) {
  double best = 1e9;
  for (int i = 0; i < 4; ++i) {
    SynchronizeDevice(device);
    const double begin = SecondsNow();
    work();
    SynchronizeDevice(device);
    if (i > 0) best = std::min(best, SecondsNow() - begin);
  }
  return best;
}

absl::Status TimeUnit(const UnitShape& shape, bool with_plain, torch::Device device, Report& report) {
  const UnitProblem problem = RandomProblem(shape, device);
  const PreparedProblem prepared = Prepare(problem);
  ESPALIER_ASSIGN_OR_RETURN(const auto compensation, MakeCompensation("least_squares"));
  ESPALIER_ASSIGN_OR_RETURN(const std::vector<int> order, Order(problem, true, 0));
  const Sets sets = SetsOf(problem, order, 11);
  const torch::Tensor factor = std::get<0>(at::linalg_cholesky_ex(prepared.damped_nn));
  const auto ignore = [](size_t, const torch::Tensor&) { return absl::OkStatus(); };
  const torch::Tensor kept_weight = prepared.weight_on.index_select(1, sets.kept[0]);
  Row row;
  row.Text("unit", shape.name).Count("columns", shape.columns).Count("group", shape.group_size);
  const auto milliseconds = [&](const char* name, const std::function<void()>& work) {
    row.Number(name, 1e3 * Seconds(device, work), 2);
  };
  milliseconds("cholesky", [&] { (void)at::linalg_cholesky_ex(prepared.damped_nn); });
  milliseconds("inverse", [&] { (void)at::cholesky_inverse(factor); });
  milliseconds("gram", [&] { (void)prepared.weight_on.t().mm(prepared.weight_on); });
  milliseconds("order", [&] { (void)Order(problem, true, 0); });
  if (with_plain) milliseconds("order, plain", [&] { (void)Order(problem, false, 0); });
  for (const int64_t block : {32, 64}) {
    milliseconds(block == 32 ? "order, 32" : "order, 64", [&] { (void)Order(problem, true, block); });
  }
  milliseconds("repair 9", [&] {
    (void)compensation->RepairNested(problem, prepared, sets.kept, sets.column_order, ignore);
  });
  milliseconds("repair 9 apart", [&] {
    (void)compensation->Compensation::RepairNested(problem, prepared, sets.kept, sets.column_order, ignore);
  });
  milliseconds("error 1", [&] { (void)SquaredError(problem, sets.kept[0], kept_weight); });
  report.Add(row);
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckBank(const Options& options) {
  const c10::NoGradGuard no_gradients;
  ESPALIER_ASSIGN_OR_RETURN(const torch::Device device, OpenBenchDevice(options));
  UseDevice(device);
  Report checks("bank check", DescribeMachine(device, options));
  const std::vector<std::tuple<UnitShape, bool, int64_t>> units = {
      {{"random", 24, 150, 1, 600}, false, 0},       {{"blocks of 7", 24, 150, 1, 600}, false, 7},
      {{"many outputs", 90, 40, 1, 400}, false, 16}, {{"one column", 5, 1, 1, 50}, false, 0},
      {{"two columns", 5, 2, 1, 50}, false, 0},      {{"few tokens", 24, 300, 1, 60}, false, 32},
      {{"degenerate", 16, 130, 1, 500}, true, 16},   {{"small FFN", 384, 1024, 1, 4000}, false, 0},
      {{"odd width", 64, 1337, 1, 3000}, false, 0},  {{"heads", 32, 96, 8, 500}, false, 0},
      {{"equal heads", 32, 96, 8, 500}, true, 0},    {{"small heads", 384, 384, 32, 4000}, false, 0},
  };
  absl::Status status;
  for (const auto& [shape, degenerate, block] : units) status.Update(CheckUnit(shape, degenerate, block, device, checks));
  status.Update(checks.Finish(options.json));
  ESPALIER_RETURN_IF_ERROR(status);
  if (!device.is_cuda()) return absl::OkStatus();
  Report parts("bank parts, ms", DescribeMachine(device, options));
  ESPALIER_RETURN_IF_ERROR(TimeUnit({"small FFN", 384, 1024, 1, 4000}, true, device, parts));
  ESPALIER_RETURN_IF_ERROR(TimeUnit({"small heads", 384, 384, 32, 4000}, false, device, parts));
  ESPALIER_RETURN_IF_ERROR(TimeUnit({"7B FFN", 4096, 11008, 1, 12000}, false, device, parts));
  ESPALIER_RETURN_IF_ERROR(TimeUnit({"7B heads", 4096, 4096, 128, 12000}, false, device, parts));
  return parts.Finish("");
}

}  // namespace espalier::bench
