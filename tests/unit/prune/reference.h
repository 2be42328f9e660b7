// Plain double-precision references for the level bank: the textbook loop on W and M themselves, and least squares on the
// raw inputs. Slow and obvious on purpose.
#pragma once

#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <vector>

#include "worker/prune/unit_problem.h"

namespace espalier::testing {

struct RandomUnit {
  torch::Tensor x_Nn;  // raw inputs of N tokens
  UnitProblem problem;
};

// Inputs with mixed columns and widely different scales, as activations have.
inline RandomUnit MakeRandomUnit(uint64_t seed, int64_t d_out, int64_t n, int64_t num_tokens, int64_t group_size) {
  torch::manual_seed(seed);
  const auto options = torch::dtype(torch::kFloat64);
  RandomUnit unit;
  const torch::Tensor mix = torch::eye(n, options) + 0.5 * torch::randn({n, n}, options) / std::sqrt(static_cast<double>(n));
  unit.x_Nn = (torch::randn({num_tokens, n}, options) * torch::exp(torch::randn({n}, options))).mm(mix);
  unit.problem.weight_on = torch::randn({d_out, n}, options);
  unit.problem.group_size = group_size;
  return unit;
}

inline void FillMoments(RandomUnit& unit) {
  unit.problem.moment_nn = unit.x_Nn.t().mm(unit.x_Nn) * (2.0 / static_cast<double>(unit.x_Nn.size(0)));
}

// What the textbook loop did, step by step.
struct TextbookRun {
  std::vector<int> order;
  std::vector<double> chosen;  // score of the group that went
  std::vector<double> lowest;  // smallest score among the groups that were there
};

// Greedy elimination by the published update. With `forced`, the groups go in that order and the scores are recorded.
inline TextbookRun RunTextbook(const PreparedProblem& prepared, int64_t group_size, const std::optional<std::vector<int>>& forced) {
  torch::Tensor weight = prepared.weight_on.clone();
  torch::Tensor inverse = at::linalg_inv(prepared.damped_nn);
  const int64_t num_groups = weight.size(1) / group_size;
  std::vector<bool> gone(num_groups, false);
  TextbookRun run;
  for (int64_t step = 0; step < num_groups; ++step) {
    std::vector<double> scores(num_groups, std::numeric_limits<double>::infinity());
    const torch::Tensor norms = weight.square().sum(0) / inverse.diagonal();
    for (int64_t group = 0; group < num_groups; ++group) {
      if (gone[group]) continue;
      if (group_size == 1) {
        scores[group] = norms.const_data_ptr<double>()[group];
        continue;
      }
      const torch::Tensor w = weight.narrow(1, group * group_size, group_size);
      const torch::Tensor m = inverse.narrow(0, group * group_size, group_size).narrow(1, group * group_size, group_size);
      scores[group] = (w.mm(at::linalg_inv(m)) * w).sum().item<double>();
    }
    const int best = static_cast<int>(std::min_element(scores.begin(), scores.end()) - scores.begin());
    const int group = forced ? (*forced)[step] : best;
    run.order.push_back(group);
    run.chosen.push_back(scores[group]);
    run.lowest.push_back(scores[best]);
    gone[group] = true;
    const torch::Tensor rows = inverse.narrow(0, group * group_size, group_size).clone();
    const torch::Tensor block = at::linalg_inv(rows.narrow(1, group * group_size, group_size));
    weight = weight - weight.narrow(1, group * group_size, group_size).mm(block).mm(rows);
    inverse = inverse - rows.t().mm(block).mm(rows);
    // Exact zeros and a harmless diagonal where the group was.
    weight.narrow(1, group * group_size, group_size).zero_();
    inverse.narrow(0, group * group_size, group_size).zero_();
    inverse.narrow(1, group * group_size, group_size).zero_();
    inverse.diagonal().narrow(0, group * group_size, group_size).fill_(1);
  }
  return run;
}

// The raw inputs, scaled by sqrt(2/N), as the n rows of their QR decomposition: the same least-squares problems with fewer
// rows, and the moments never formed.
inline torch::Tensor InputRows(const torch::Tensor& x_Nn) {
  return std::get<1>(at::linalg_qr(x_Nn * std::sqrt(2.0 / static_cast<double>(x_Nn.size(0))), "r"));
}

// The kept columns' weights [d_out, kept] that minimise (2/N) |X W^T - X_K W_K^T|^2 + lambda |W - W_K|^2, by QR on the inputs.
inline torch::Tensor LeastSquaresOnInputs(const torch::Tensor& input_rows, const torch::Tensor& weight_on, double lambda,
                                          const torch::Tensor& kept) {
  const int64_t n = weight_on.size(1);
  const torch::Tensor rows = torch::cat({input_rows, std::sqrt(lambda) * torch::eye(n, input_rows.options())});
  const torch::Tensor target = rows.mm(weight_on.t());
  return std::get<0>(at::linalg_lstsq(rows.index_select(1, kept), target, std::nullopt, "gelsy")).t();
}

// Mean over tokens of the squared output error, from the inputs themselves.
inline double ErrorOnInputs(const torch::Tensor& x_Nn, const torch::Tensor& weight_on, const torch::Tensor& kept,
                            const torch::Tensor& kept_weight) {
  const torch::Tensor wanted = x_Nn.mm(weight_on.t());
  const torch::Tensor got = x_Nn.index_select(1, kept).mm(kept_weight.t());
  return (wanted - got).square().sum().item<double>() / static_cast<double>(x_Nn.size(0));
}

inline double Lambda(const UnitProblem& problem) { return problem.damping * problem.moment_nn.diagonal().mean().item<double>(); }

inline double RelativeDifference(const torch::Tensor& a, const torch::Tensor& b) {
  return ((a - b).norm() / b.norm()).item<double>();
}

}  // namespace espalier::testing
