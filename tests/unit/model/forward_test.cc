#include "tests/support/catch.h"
// catch.h comes first: see there.
#include <ATen/ops/linear.h>

#include "tests/unit/model/model_fixtures.h"
#include "worker/model/assemble.h"

namespace espalier {
namespace {

using testing::LogitsOf;
using testing::MaxDifference;
using testing::RandomTokens;
using testing::ThreeLayerConfig;

// Causal attention of one head by the definition, in loops over positions.
torch::Tensor PlainAttention(const torch::Tensor& q_LK, const torch::Tensor& k_LK, const torch::Tensor& v_LK) {
  const int64_t L = q_LK.size(0);
  torch::Tensor mixed = torch::zeros_like(v_LK);
  for (int64_t i = 0; i < L; ++i) {
    const torch::Tensor scores = k_LK.narrow(0, 0, i + 1).matmul(q_LK[i]) / std::sqrt(static_cast<double>(q_LK.size(1)));
    mixed[i].copy_(v_LK.narrow(0, 0, i + 1).t().matmul(scores.softmax(0)));
  }
  return mixed;
}

// The angle of (position, pair) by the formula, applied to the pair (x[i], x[i + K/2]).
torch::Tensor PlainRotate(const torch::Tensor& x_LK, double theta) {
  torch::Tensor rotated = x_LK.clone();
  const int64_t half = x_LK.size(1) / 2;
  for (int64_t position = 0; position < x_LK.size(0); ++position) {
    for (int64_t i = 0; i < half; ++i) {
      const double angle = static_cast<double>(position) / std::pow(theta, static_cast<double>(i) / static_cast<double>(half));
      const double a = x_LK[position][i].item<double>(), b = x_LK[position][i + half].item<double>();
      rotated[position][i] = a * std::cos(angle) - b * std::sin(angle);
      rotated[position][i + half] = b * std::cos(angle) + a * std::sin(angle);
    }
  }
  return rotated;
}

torch::Tensor PlainRmsNorm(const torch::Tensor& x, const torch::Tensor& weight, double epsilon) {
  return x / (x.square().mean(-1, true) + epsilon).sqrt() * weight;
}

}  // namespace

TEST_CASE("Forward: attention with grouped heads, biases and q/k norms equals the definition head by head") {
  const torch::NoGradGuard no_grad;
  const ModelConfig config = ThreeLayerConfig(/*with_extras=*/true);
  const LanguageModel model = RandomLanguageModel(config, 3, torch::kCPU, torch::kFloat64);
  const AttentionWeights& weights = model.layers[1].attention;
  const torch::Tensor hidden = torch::randn({1, 7, config.hidden_size}, torch::kFloat64);
  const torch::Tensor x = PlainRmsNorm(hidden[0], weights.input_norm_D, config.rms_norm_epsilon);
  std::vector<torch::Tensor> heads;
  for (int h = 0; h < config.num_heads; ++h) {
    const auto project = [&](const torch::Tensor& weight, const torch::Tensor& bias, int head) {
      return at::linear(x, weight, bias).narrow(1, head * config.head_size, config.head_size);
    };
    const int kv = h / 3;
    const auto q = PlainRmsNorm(project(weights.q_weight, weights.q_bias, h), weights.q_norm_K, config.rms_norm_epsilon);
    const auto k = PlainRmsNorm(project(weights.k_weight, weights.k_bias, kv), weights.k_norm_K, config.rms_norm_epsilon);
    heads.push_back(PlainAttention(PlainRotate(q, config.rope.theta), PlainRotate(k, config.rope.theta),
                                   project(weights.v_weight, weights.v_bias, kv)));
  }
  const RotaryTables rotary = MakeRotaryTables(config, 7, torch::kCPU, torch::kFloat64);
  const torch::Tensor inner = AttentionInner(config, config.layers[1], weights, hidden, rotary);
  CHECK(MaxDifference(inner[0], torch::cat(heads, 1)) < 1e-5);  // the tables hold fp32 angles
  const torch::Tensor unit = AttentionForward(config, config.layers[1], weights, hidden, rotary);
  CHECK(MaxDifference(unit, inner.matmul(weights.o_weight.t()) + weights.o_bias) < 1e-12);
}

TEST_CASE("Forward: fused projections give the same logits and gradients as separate ones") {
  for (const bool with_extras : {false, true}) {
    const ModelConfig config = ThreeLayerConfig(with_extras);
    LanguageModel separate = RandomLanguageModel(config, 5, torch::kCPU, torch::kFloat64);
    LanguageModel fused = separate;
    FuseProjections(fused);
    const torch::Tensor tokens = RandomTokens(2, 9, config.vocabulary_size, 1);
    CHECK(MaxDifference(LogitsOf(separate, tokens), LogitsOf(fused, tokens)) < 1e-12);

    const RotaryTables rotary = MakeRotaryTables(config, 9, torch::kCPU, torch::kFloat64);
    separate.layers[0].attention.k_weight.requires_grad_();
    separate.layers[2].ffn.up_weight.requires_grad_();
    fused.layers[0].attention.qkv_weight.requires_grad_();
    fused.layers[2].ffn.gate_up_weight.requires_grad_();
    Logits(separate, tokens, rotary).square().sum().backward();
    Logits(fused, tokens, rotary).square().sum().backward();
    const torch::Tensor k_gradient = separate.layers[0].attention.k_weight.grad();
    const int64_t q_rows = config.num_heads * config.head_size;
    const torch::Tensor fused_gradient = fused.layers[0].attention.qkv_weight.grad().narrow(0, q_rows, k_gradient.size(0));
    REQUIRE(k_gradient.abs().max().item<double>() > 1e-6);
    CHECK(MaxDifference(k_gradient, fused_gradient) < 1e-10);
    CHECK(MaxDifference(separate.layers[2].ffn.up_weight.grad(),
                        fused.layers[2].ffn.gate_up_weight.grad().narrow(0, config.ffn_width, config.ffn_width)) < 1e-10);
  }
}

TEST_CASE("Forward: padding at the end of a row changes nothing before it") {
  const ModelConfig config = ThreeLayerConfig(false);
  const LanguageModel model = RandomLanguageModel(config, 7, torch::kCPU, torch::kFloat32);
  const torch::Tensor tokens = RandomTokens(1, 12, config.vocabulary_size, 2);
  torch::Tensor padded = tokens.clone();
  padded.narrow(1, 8, 4).zero_();
  CHECK(MaxDifference(LogitsOf(model, tokens).narrow(1, 0, 8), LogitsOf(model, padded).narrow(1, 0, 8)) < 1e-6);
  CHECK(MaxDifference(LogitsOf(model, tokens).narrow(1, 9, 3), LogitsOf(model, padded).narrow(1, 9, 3)) > 1e-3);
}

TEST_CASE("Forward: the norm of 16-bit states is computed in fp32") {
  const torch::Tensor x = (torch::randn({4, 64}) * 300).to(torch::kBFloat16);
  const torch::Tensor weight = torch::rand({64}).to(torch::kBFloat16);
  const torch::Tensor exact = PlainRmsNorm(x.to(torch::kFloat64), weight.to(torch::kFloat64), 1e-6);
  CHECK(((RmsNorm(x, weight, 1e-6).to(torch::kFloat64) - exact).abs() / exact.abs().clamp_min(1e-3)).max().item<double>() < 1e-2);
}

TEST_CASE("Forward: hidden states taken part of the way lead to the same end") {
  const torch::NoGradGuard no_grad;
  const ModelConfig config = ThreeLayerConfig(true);
  const LanguageModel model = RandomLanguageModel(config, 9, torch::kCPU, torch::kFloat32);
  const torch::Tensor tokens = RandomTokens(2, 6, config.vocabulary_size, 3);
  const RotaryTables rotary = MakeRotaryTables(config, 6, torch::kCPU, torch::kFloat32);
  const torch::Tensor halfway = HiddenAt(model, Embed(model, tokens), 0, 2, rotary);
  CHECK(MaxDifference(FinalNorm(model, HiddenAt(model, halfway, 2, 3, rotary)), FinalHidden(model, tokens, rotary)) == 0);
}

}  // namespace espalier
