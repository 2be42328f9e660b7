#include "tests/support/catch.h"
// catch.h comes first: see there.
#include <ATen/Parallel.h>

#include <cmath>
#include <memory>

#include "tests/unit/model/model_fixtures.h"
#include "worker/model/assemble.h"
#include "worker/score/score.h"

namespace espalier {
namespace {

using testing::LogitsOf;
using testing::RandomTokens;
using testing::ThreeLayerConfig;

// KL and loss of one window by their definitions, term by term in double.
struct PlainScore {
  double kl = 0;
  double nll = 0;
};
PlainScore ScoreByDefinition(const torch::Tensor& dense_LV, const torch::Tensor& candidate_LV, const torch::Tensor& tokens_L) {
  const int64_t L = dense_LV.size(0), V = dense_LV.size(1);
  const torch::Tensor dense = dense_LV.to(torch::kFloat64).contiguous(), candidate = candidate_LV.to(torch::kFloat64).contiguous();
  PlainScore sum;
  for (int64_t i = 0; i + 1 < L; ++i) {
    const double* a = dense.const_data_ptr<double>() + i * V;
    const double* b = candidate.const_data_ptr<double>() + i * V;
    double total_a = 0, total_b = 0;
    for (int64_t v = 0; v < V; ++v) {
      total_a += std::exp(a[v]);
      total_b += std::exp(b[v]);
    }
    for (int64_t v = 0; v < V; ++v) {
      sum.kl += std::exp(a[v]) / total_a * ((a[v] - std::log(total_a)) - (b[v] - std::log(total_b)));
    }
    sum.nll -= b[tokens_L[i + 1].item<int64_t>()] - std::log(total_b);
  }
  return {sum.kl / static_cast<double>(L - 1), sum.nll / static_cast<double>(L - 1)};
}

// A candidate that lost a head, neurons and a whole unit.
LanguageModel SmallerModel(const LanguageModel& dense) {
  std::vector<LayerPieces> pieces(3);
  pieces[0].attention = Keep::kSome;
  pieces[0].kept_heads = {0, 1, 5};
  pieces[0].kept_kv_heads = {0, 1};
  pieces[1].ffn = Keep::kSome;
  pieces[1].kept_neurons = torch::tensor({1, 2, 3, 30}, torch::kInt64);
  pieces[2].attention = Keep::kNone;
  return Assemble(dense, pieces).value();
}

TeacherStates StatesOf(const LanguageModel& dense, const torch::Tensor& tokens, const ScoreBatching& batching) {
  return MakeTeacherStates(dense, tokens, batching, nullptr).value();
}

}  // namespace

TEST_CASE("Score: KL and loss of each window equal their definitions") {
  const LanguageModel dense = RandomLanguageModel(ThreeLayerConfig(true), 21, torch::kCPU, torch::kFloat32);
  const LanguageModel candidate = SmallerModel(dense);
  const torch::Tensor tokens = RandomTokens(5, 13, 61, 1);
  const ScoreBatching batching{/*windows_per_batch=*/2, /*rows_per_chunk=*/7};
  const auto result = ScoreAgainstDense(candidate, StatesOf(dense, tokens, batching), batching, nullptr);
  REQUIRE_OK(result);
  REQUIRE(result->window_kl.size() == 5);
  CHECK(result->tokens == 65);
  const torch::Tensor dense_logits = LogitsOf(dense, tokens), logits = LogitsOf(candidate, tokens);
  double sum_of_kl = 0, sum_of_squares = 0;
  for (int64_t w = 0; w < 5; ++w) {
    const PlainScore expected = ScoreByDefinition(dense_logits[w], logits[w], tokens[w]);
    CHECK(result->window_kl[w] == Approx(expected.kl).epsilon(1e-5));
    CHECK(result->window_nll[w] == Approx(expected.nll).epsilon(1e-5));
    sum_of_kl += expected.kl;
    sum_of_squares += expected.kl * expected.kl;
  }
  CHECK(result->MeanKl() == Approx(sum_of_kl / 5).epsilon(1e-5));
  const double variance = (sum_of_squares - sum_of_kl * sum_of_kl / 5) / 4;
  CHECK(result->StandardErrorOfKl() == Approx(std::sqrt(variance / 5)).epsilon(1e-3));
  CHECK(result->Perplexity() == Approx(std::exp(result->MeanNll())));

  SECTION("the dense model is at distance zero from itself") {
    const auto zero = ScoreAgainstDense(dense, StatesOf(dense, tokens, batching), batching, nullptr);
    REQUIRE_OK(zero);
    CHECK(zero->MeanKl() == 0);
  }
  SECTION("loss alone is the same loss") {
    const auto loss = ScoreLoss(candidate, tokens, batching, nullptr);
    REQUIRE_OK(loss);
    CHECK(loss->window_nll == result->window_nll);
    CHECK(loss->window_kl.empty());
  }
  SECTION("chunk size and batch size do not matter beyond rounding") {
    for (const ScoreBatching other : {ScoreBatching{1, 3}, ScoreBatching{5, 1000}}) {
      const auto again = ScoreAgainstDense(candidate, StatesOf(dense, tokens, other), other, nullptr);
      REQUIRE_OK(again);
      for (int w = 0; w < 5; ++w) CHECK(again->window_kl[w] == Approx(result->window_kl[w]).epsilon(1e-5));
    }
  }
  SECTION("log-probabilities kept from the first candidate change nothing") {
    const TeacherStates teacher = StatesOf(dense, tokens, batching);
    TeacherStates without = teacher;
    without.log_probabilities = std::make_shared<LogProbabilityCache>(LogProbabilityCache::kMaxBytes + 1, torch::kCPU);
    const auto expected = ScoreAgainstDense(candidate, without, batching, nullptr);
    REQUIRE_OK(expected);
    for (int pass = 0; pass < 2; ++pass) {
      const auto again = ScoreAgainstDense(candidate, teacher, batching, nullptr);
      REQUIRE_OK(again);
      CHECK(again->window_kl == expected->window_kl);
    }
  }
  SECTION("a stop is a cancelled status") {
    int calls = 0;
    const auto stopped = ScoreAgainstDense(candidate, StatesOf(dense, tokens, batching), batching, [&](int64_t done, int64_t total) {
      CHECK(total == 65);
      return ++calls < 2 || done < 52;
    });
    CHECK(stopped.status().code() == absl::StatusCode::kCancelled);
    CHECK(calls == 2);
  }
}

TEST_CASE("Score: a unit scored alone from its layer on gives bitwise what the whole pass gives") {
  at::set_num_threads(1);
  const LanguageModel dense = RandomLanguageModel(ThreeLayerConfig(false), 23, torch::kCPU, torch::kFloat32);
  const torch::Tensor tokens = RandomTokens(6, 17, 61, 2);
  const ScoreBatching batching{4, 16};
  const TeacherStates teacher = StatesOf(dense, tokens, batching);
  LayerPieces pieces;
  pieces.ffn = Keep::kSome;
  pieces.kept_neurons = torch::arange(20, torch::kInt64);
  torch::Tensor entering;
  for (int layer = 0; layer < 3; ++layer) {
    const auto states = DenseStatesEntering(dense, teacher, entering, layer == 0 ? 0 : layer - 1, layer, batching, nullptr);
    REQUIRE_OK(states);
    entering = *states;
    const auto candidate = AssembleWithLayer(dense, layer, pieces);
    REQUIRE_OK(candidate);
    const auto alone = ScoreFromLayer(*candidate, layer, entering, teacher, batching, nullptr);
    const auto whole = ScoreAgainstDense(*candidate, teacher, batching, nullptr);
    REQUIRE_OK(alone);
    REQUIRE_OK(whole);
    CHECK(whole->MeanKl() > 0);
    CHECK(alone->window_kl == whole->window_kl);
    CHECK(alone->window_nll == whole->window_nll);
  }
}

TEST_CASE("Score: batch shapes depend on dense shape, length and device alone, and cover every window") {
  const ModelConfig config = ThreeLayerConfig(false);
  const ScoreBatching batching = ScoreBatchingFor(config, 512, torch::kCPU);
  CHECK(batching.windows_per_batch == 2);
  CHECK(ScoreBatchingFor(config, 100000, torch::kCPU).windows_per_batch == 1);
  CHECK(ScoreBatchingFor(config, 512, torch::kCUDA).windows_per_batch > 8);
  ModelConfig large = config;
  large.vocabulary_size = 1 << 30;
  CHECK(ScoreBatchingFor(large, 512, torch::kCPU).rows_per_chunk == 16);
}

TEST_CASE("Score: windows without a prediction are refused") {
  const LanguageModel dense = RandomLanguageModel(ThreeLayerConfig(false), 25, torch::kCPU, torch::kFloat32);
  const ScoreBatching batching{1, 16};
  CHECK(ScoreLoss(dense, RandomTokens(3, 1, 61, 3), batching, nullptr).status().code() == absl::StatusCode::kInvalidArgument);
  CHECK(ScoreLoss(dense, torch::zeros({2, 4}), batching, nullptr).status().code() == absl::StatusCode::kInvalidArgument);
}

}  // namespace espalier
