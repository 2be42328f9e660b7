#include "tests/support/catch.h"
// catch.h comes first: see there.
#include "tests/unit/model/model_fixtures.h"
#include "worker/model/assemble.h"

namespace espalier {
namespace {

using testing::LogitsOf;
using testing::MaxDifference;
using testing::RandomTokens;
using testing::ThreeLayerConfig;

LayerPieces KeepHeads(std::vector<int> heads, std::vector<int> kv_heads) {
  LayerPieces pieces;
  pieces.attention = heads.empty() ? Keep::kNone : Keep::kSome;
  pieces.kept_heads = std::move(heads);
  pieces.kept_kv_heads = std::move(kv_heads);
  return pieces;
}

LayerPieces WithNeurons(LayerPieces pieces, std::vector<int64_t> neurons) {
  pieces.ffn = neurons.empty() ? Keep::kNone : Keep::kSome;
  if (!neurons.empty()) pieces.kept_neurons = torch::tensor(neurons, torch::kInt64);
  return pieces;
}

// The dense model in which everything that the pieces drop is zeroed instead: same arithmetic, full shape.
LanguageModel Zeroed(const LanguageModel& dense, const std::vector<LayerPieces>& pieces) {
  LanguageModel model = dense;
  for (size_t l = 0; l < pieces.size(); ++l) {
    AttentionWeights& attention = model.layers[l].attention;
    if (pieces[l].attention != Keep::kAll) {
      torch::Tensor weight = torch::zeros_like(attention.o_weight);
      const int64_t K = dense.config.head_size;
      for (size_t i = 0; i < pieces[l].kept_heads.size(); ++i) {
        const torch::Tensor from = pieces[l].o_weight.defined()
                                       ? pieces[l].o_weight.narrow(1, static_cast<int64_t>(i) * K, K)
                                       : attention.o_weight.narrow(1, pieces[l].kept_heads[i] * K, K);
        weight.narrow(1, pieces[l].kept_heads[i] * K, K).copy_(from);
      }
      attention.o_weight = weight;
      if (pieces[l].attention == Keep::kNone) attention.o_bias = torch::Tensor();
    }
    FfnWeights& ffn = model.layers[l].ffn;
    if (pieces[l].ffn != Keep::kAll) {
      torch::Tensor weight = torch::zeros_like(ffn.down_weight);
      if (pieces[l].ffn == Keep::kSome) {
        const torch::Tensor from =
            pieces[l].down_weight.defined() ? pieces[l].down_weight : ffn.down_weight.index_select(1, pieces[l].kept_neurons);
        weight.index_copy_(1, pieces[l].kept_neurons, from);
      }
      ffn.down_weight = weight;
      if (pieces[l].ffn == Keep::kNone) ffn.down_bias = torch::Tensor();
    }
  }
  return model;
}

int64_t CountElements(const LanguageModel& model) {
  int64_t count = 0;
  for (const auto& [name, tensor] : NamedTensors(model)) count += tensor.numel();
  return count;
}

}  // namespace

TEST_CASE("Assemble: a candidate's logits equal those of the dense model with the dropped parts zeroed") {
  const bool with_extras = GENERATE(false, true);
  const ModelConfig config = ThreeLayerConfig(with_extras);
  const LanguageModel dense = RandomLanguageModel(config, 11, torch::kCPU, torch::kFloat64);
  const LayerPieces intact;
  const auto options = torch::TensorOptions().dtype(torch::kFloat64);
  LayerPieces compensated = WithNeurons(KeepHeads({1, 4, 5}, {0, 1}), {3, 8, 21, 47});
  compensated.o_weight = torch::randn({config.hidden_size, 3 * config.head_size}, options);
  compensated.down_weight = torch::randn({config.hidden_size, 4}, options);

  std::vector<LayerPieces> pieces(3);
  SECTION("uneven heads in the middle, compensated projections") { pieces = {intact, compensated, intact}; }
  SECTION("one KV head dropped, regular rest") {
    pieces = {KeepHeads({3, 4, 5}, {1}), intact, WithNeurons(KeepHeads({0}, {0}), {0, 1})};
  }
  SECTION("uneven heads with KV heads left whole") { pieces = {KeepHeads({4}, {0, 1}), KeepHeads({0, 1, 2, 3}, {0, 1}), intact}; }
  SECTION("attention removed from the first layer") { pieces = {KeepHeads({}, {}), compensated, intact}; }
  SECTION("FFN removed from the middle layer") { pieces = {compensated, WithNeurons(intact, {}), intact}; }
  SECTION("the last layer removed altogether") { pieces = {intact, compensated, WithNeurons(KeepHeads({}, {}), {})}; }
  SECTION("every unit removed") { pieces.assign(3, WithNeurons(KeepHeads({}, {}), {})); }
  SECTION("nothing removed") {}

  const absl::StatusOr<LanguageModel> candidate = Assemble(dense, pieces);
  REQUIRE_OK(candidate);
  const torch::Tensor tokens = RandomTokens(2, 11, config.vocabulary_size, 4);
  CHECK(MaxDifference(LogitsOf(*candidate, tokens), LogitsOf(Zeroed(dense, pieces), tokens)) < 1e-11);
  CHECK(CountElements(*candidate) == CountParameters(candidate->config));
}

TEST_CASE("Assemble: intact units share the dense model's memory, and the dense model stays as it was") {
  const ModelConfig config = ThreeLayerConfig(false);
  const LanguageModel dense = RandomLanguageModel(config, 13, torch::kCPU, torch::kFloat32);
  const absl::StatusOr<LanguageModel> candidate = AssembleWithLayer(dense, 1, KeepHeads({0, 3}, {0, 1}));
  REQUIRE_OK(candidate);
  CHECK(candidate->layers[1].ffn.up_weight.data_ptr() == dense.layers[1].ffn.up_weight.data_ptr());
  CHECK(candidate->layers[2].attention.q_weight.data_ptr() == dense.layers[2].attention.q_weight.data_ptr());
  CHECK(candidate->layers[1].attention.q_weight.data_ptr() != dense.layers[1].attention.q_weight.data_ptr());
  CHECK(candidate->config.layers[1].head_to_kv == std::vector<int>{0, 1});
  CHECK(dense.config.layers[1].num_heads() == 6);
}

TEST_CASE("Assemble: pieces that do not fit the model are refused with layer and value") {
  const LanguageModel dense = RandomLanguageModel(ThreeLayerConfig(false), 17, torch::kCPU, torch::kFloat32);
  const auto message_of = [&](const LayerPieces& pieces) {
    const absl::Status status = AssembleWithLayer(dense, 1, pieces).status();
    CHECK(status.code() == absl::StatusCode::kInvalidArgument);
    return std::string(status.message());
  };
  CHECK_THAT(message_of(KeepHeads({0, 6}, {0, 1})), Catch::Contains("layer 1: kept_heads holds 6"));
  CHECK_THAT(message_of(KeepHeads({2, 1}, {0})), Catch::Contains("kept_heads holds 1 after 2"));
  CHECK_THAT(message_of(KeepHeads({0, 4}, {0})), Catch::Contains("kept head 4 reads KV head 1"));
  LayerPieces wrong_shape = KeepHeads({0, 1}, {0});
  wrong_shape.o_weight = torch::zeros({32, 8});
  CHECK_THAT(message_of(wrong_shape), Catch::Contains("o_weight has shape [32, 8], needed is [32, 16]"));
  CHECK(AssembleWithLayer(dense, 3, LayerPieces()).status().code() == absl::StatusCode::kInvalidArgument);
}

}  // namespace espalier
