// The optimiser, its schedule and the flat layout of the weights.
#include <ATen/ops/randn.h>

#include <cmath>
#include <vector>

#include "tests/support/catch.h"
#include "tests/unit/train/train_fixtures.h"
#include "worker/model/forward.h"
#include "worker/train/adamw.h"
#include "worker/train/learning_rate.h"

namespace espalier::testing {
namespace {

// Loshchilov and Hutter's algorithm 2, element by element in double precision.
class PlainAdamW {
 public:
  PlainAdamW(const torch::Tensor& weights, const TrainSettings& settings)
      : weights_(ToVector(weights)), first_(weights_.size()), second_(weights_.size()), settings_(settings) {}

  void Step(const torch::Tensor& gradient, double rate) {
    std::vector<double> g = ToVector(gradient);
    if (settings_.clip_norm > 0) {
      double squares = 0;
      for (double x : g) squares += x * x;
      const double factor = std::min(1.0, settings_.clip_norm / (std::sqrt(squares) + 1e-6));
      for (double& x : g) x *= factor;
    }
    ++steps_;
    for (size_t i = 0; i < g.size(); ++i) {
      first_[i] = settings_.beta1 * first_[i] + (1 - settings_.beta1) * g[i];
      second_[i] = settings_.beta2 * second_[i] + (1 - settings_.beta2) * g[i] * g[i];
      const double first = first_[i] / (1 - std::pow(settings_.beta1, steps_));
      const double second = second_[i] / (1 - std::pow(settings_.beta2, steps_));
      weights_[i] -= rate * (first / (std::sqrt(second) + settings_.epsilon) + settings_.weight_decay * weights_[i]);
    }
  }
  torch::Tensor weights() const { return torch::tensor(weights_, torch::kFloat64); }

 private:
  static std::vector<double> ToVector(const torch::Tensor& tensor) {
    const torch::Tensor doubles = tensor.detach().to(torch::kFloat64).contiguous();
    return {doubles.const_data_ptr<double>(), doubles.const_data_ptr<double>() + doubles.numel()};
  }
  std::vector<double> weights_, first_, second_;
  const TrainSettings settings_;
  int steps_ = 0;
};

// Random gradients for every leaf, and the same ones laid out flat.
std::vector<torch::Tensor> RandomGradients(const FlatParameters& parameters, int step, torch::Tensor& flat) {
  torch::manual_seed(100 + step);
  flat = torch::zeros({parameters.size()}, torch::kFloat32);
  std::vector<torch::Tensor> gradients;
  for (size_t i = 0; i < parameters.leaves.size(); ++i) {
    const torch::Tensor gradient = at::randn(parameters.leaves[i].sizes()) * (step % 2 == 0 ? 0.5 : 0.01);
    flat.narrow(0, parameters.offsets[i], gradient.numel()).copy_(gradient.reshape(-1));
    gradients.push_back(gradient.to(parameters.flat.scalar_type()));
  }
  return gradients;
}

double DistanceToPlainLoop(torch::ScalarType compute, MomentsFormat format, double clip_norm) {
  LanguageModel model = Candidate(3, compute);
  const FlatParameters parameters = FlattenParameters(model);
  TrainSettings settings = CrossEntropySettings(1e-3);
  settings.clip_norm = clip_norm;
  settings.weight_decay = 0.1;
  FlatAdamW optimizer(parameters, settings, format);
  PlainAdamW plain(optimizer.master(), settings);
  for (int step = 0; step < 12; ++step) {
    const double rate = 1e-3 * (1 + step % 3);
    torch::Tensor flat;
    const std::vector<torch::Tensor> gradients = RandomGradients(parameters, step, flat);
    if (compute != torch::kFloat32) flat = flat.to(compute).to(torch::kFloat32);
    optimizer.Step(gradients, torch::tensor(rate, optimizer.LearningRateDtype()));
    plain.Step(flat, rate);
  }
  CHECK(LargestDifference(parameters.flat, optimizer.master().to(compute)) == 0);
  return LargestDifference(optimizer.master(), plain.weights());
}

}  // namespace

TEST_CASE("FlatAdamW: takes the steps of a plain double-precision loop") {
  CHECK(DistanceToPlainLoop(torch::kFloat32, MomentsFormat::kFloat32, 0) < 2e-6);
  CHECK(DistanceToPlainLoop(torch::kFloat32, MomentsFormat::kFloat32, 0.7) < 2e-6);
  CHECK(DistanceToPlainLoop(torch::kBFloat16, MomentsFormat::kFloat32, 0.7) < 2e-6);
  // 12 steps of about 2e-3 each, with moments of 8 significant bits.
  CHECK(DistanceToPlainLoop(torch::kBFloat16, MomentsFormat::kBFloat16, 0.7) < 1e-3);
  CHECK(DistanceToPlainLoop(torch::kFloat32, MomentsFormat::kBFloat16, 0) < 1e-3);
  // And of one byte, whose neighbours are up to a seventh apart.
  CHECK(DistanceToPlainLoop(torch::kBFloat16, MomentsFormat::kByte, 0.7) < 8e-3);
  CHECK(DistanceToPlainLoop(torch::kFloat32, MomentsFormat::kByte, 0) < 8e-3);
}

TEST_CASE("FlattenParameters: holds the pruned shape and nothing else, and the model computes as before") {
  LanguageModel model = Candidate(5);
  const torch::Tensor dense_query = model.layers[0].attention.q_weight;
  const torch::Tensor before = dense_query.clone();
  const torch::Tensor tokens = Windows(2).tokens_WL.to(torch::kInt64);
  const torch::NoGradGuard no_grad;
  const RotaryTables rotary = MakeRotaryTables(model.config, kWindowLength, torch::kCPU, torch::kFloat32);
  const torch::Tensor hidden = FinalHidden(model, tokens, rotary);

  const FlatParameters parameters = FlattenParameters(model);
  CHECK(parameters.num_parameters == CountParameters(model.config));
  CHECK(LargestDifference(FinalHidden(model, tokens, rotary), hidden) < 1e-5);
  CHECK(parameters.layer_leaves[2].first == parameters.layer_leaves[2].second);
  CHECK_FALSE(model.layers[1].attention.qkv_weight.defined());
  CHECK(model.layers[0].ffn.gate_up_weight.size(0) == 48);

  // The tensors that the candidate shared with the dense model are not touched; the candidate's are views.
  parameters.flat.add_(1);
  CHECK(LargestDifference(dense_query, before) == 0);
  CHECK(LargestDifference(model.layers[0].attention.q_weight, before) == Approx(1));
}

TEST_CASE("LearningRate: constant in search stages, warm-up and half a cosine in recovery") {
  TrainSettings settings = CrossEntropySettings(2.0);
  CHECK(LearningRate(settings, 0, 0) == 2.0);
  CHECK(LearningRate(settings, 1000, 10) == 2.0);
  settings.warmup_steps = 4;
  settings.cosine_to = 0.1;
  CHECK(LearningRate(settings, 0, 104) == 0.5);
  CHECK(LearningRate(settings, 3, 104) == 2.0);
  CHECK(LearningRate(settings, 4, 104) == 2.0);
  CHECK(LearningRate(settings, 54, 104) == Approx(2.0 * 0.55));
  CHECK(LearningRate(settings, 104, 104) == Approx(0.2));
  CHECK(LearningRate(settings, 500, 104) == Approx(0.2));
  CHECK(LearningRate(settings, 50, 0) == 2.0);
  CHECK(LearningRate(settings, 2, 3) == 1.5);
}

}  // namespace espalier::testing
