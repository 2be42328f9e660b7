#include <algorithm>

#include "common/checkpoint/model_folder.h"
#include "common/checkpoint/token_file.h"
#include "tests/support/catch.h"
#include "tests/support/paths.h"
#include "tests/unit/prune/reference.h"
#include "worker/model/assemble.h"
#include "worker/model/device_runtime.h"
#include "worker/model/forward.h"
#include "worker/model/random_model.h"
#include "worker/prune/bank.h"
#include "worker/prune/resident_bank.h"
#include "worker/prune/statistics.h"

namespace espalier {
namespace {

std::shared_ptr<const LanguageModel> LoadTiny() {
  const auto folder = checkpoint::ModelFolder::Open(testing::SourcePath("examples/tiny"));
  REQUIRE_OK(folder);
  auto model = LoadLanguageModel(**folder, torch::kCPU, torch::kFloat32);
  REQUIRE_OK(model);
  return std::shared_ptr<const LanguageModel>(*std::move(model));
}

torch::Tensor TinyTokens(int64_t windows) {
  const auto file = checkpoint::TokenFile::Open(testing::SourcePath("examples/tiny-samples.npy"), 4096);
  REQUIRE_OK(file);
  torch::Tensor tokens = torch::empty({windows, 512}, torch::kInt64);
  (*file)->Read(0, tokens.numel(), tokens.mutable_data_ptr<int64_t>());
  return tokens;
}

std::shared_ptr<const LanguageModel> MakeRandomModel() {
  ModelConfig config = SmallConfig(3, 32, 8, 2, 8, 48, 64);
  return std::make_shared<const LanguageModel>(RandomLanguageModel(config, 5, torch::kCPU, torch::kFloat32));
}

Ladder LadderFor(const ModelConfig& config, HeadGranularity granularity, int width_multiple, bool keep_kv_whole) {
  LadderOptions options;
  options.head_granularity = granularity;
  options.width_multiple = width_multiple;
  options.keep_kv_whole = keep_kv_whole;
  const auto ladder = BuildLadder(config, options);
  REQUIRE_OK(ladder);
  return *ladder;
}

std::unique_ptr<CalibrationPass> MakePass(std::shared_ptr<const LanguageModel> model, const torch::Tensor& tokens,
                                          const CalibrationOptions& options) {
  auto pass = CalibrationPass::Create(std::move(model), tokens, options);
  REQUIRE_OK(pass);
  return *std::move(pass);
}

LayerStatistics CollectOk(CalibrationPass& pass, int layer) {
  const auto statistics = pass.Collect(layer, nullptr, std::stop_token());
  REQUIRE_OK(statistics);
  return *statistics;
}

LayerBank BuildOk(const LanguageModel& model, const LayerStatistics& statistics, const Ladder& ladder) {
  auto bank = BuildLayerBank(model, statistics, ladder, BankBuildSettings(), nullptr, std::stop_token());
  REQUIRE_OK(bank);
  return *std::move(bank);
}

// What enters the output projections of a layer, for every token, in double: [N, H*K] and [N, F].
std::pair<torch::Tensor, torch::Tensor> RawInputs(const LanguageModel& model, const torch::Tensor& tokens, int layer) {
  const c10::NoGradGuard no_gradients;
  const RotaryTables rotary = MakeRotaryTables(model.config, tokens.size(1), torch::kCPU, torch::kFloat32);
  const torch::Tensor hidden = HiddenAt(model, Embed(model, tokens), 0, layer, rotary);
  const LayerWeights& weights = model.layers[layer];
  const torch::Tensor heads = AttentionInner(model.config, model.config.layers[layer], weights.attention, hidden, rotary);
  const torch::Tensor middle = hidden + AttentionForward(model.config, model.config.layers[layer], weights.attention, hidden, rotary);
  const torch::Tensor neurons = FfnInner(model.config, weights.ffn, middle);
  return {heads.flatten(0, 1).to(torch::kFloat64), neurons.flatten(0, 1).to(torch::kFloat64)};
}

torch::Tensor KeptColumns(const LevelEntry& entry, int64_t columns_per_part) {
  return (entry.kept.unsqueeze(1) * columns_per_part + torch::arange(columns_per_part)).flatten();
}

// Everything that section "The bank" promises of one unit, against the raw inputs.
void RequireTrueBank(const UnitBank& bank, const torch::Tensor& weight, const torch::Tensor& moment, const torch::Tensor& x_Nn,
                     int64_t columns_per_part, int64_t parts_per_group) {
  const UnitProblem problem{weight.to(torch::kFloat64), moment.to(torch::kFloat64), columns_per_part * parts_per_group, 0.01};
  const PreparedProblem prepared = Prepare(problem);
  std::vector<int> groups;
  for (size_t i = 0; i < bank.order.size(); i += parts_per_group) groups.push_back(bank.order[i] / static_cast<int>(parts_per_group));
  const testing::TextbookRun run = testing::RunTextbook(prepared, problem.group_size, groups);
  for (size_t step = 0; step < groups.size(); ++step) REQUIRE(run.chosen[step] <= run.lowest[step] * (1 + 1e-4));

  const torch::Tensor input_rows = testing::InputRows(x_Nn);
  double last_error = 0;
  for (size_t level = 0; level < bank.levels.size(); ++level) {
    const LevelEntry& entry = bank.levels[level];
    INFO(Name(bank.unit) << " level " << level);
    const torch::Tensor kept = KeptColumns(entry, columns_per_part);
    torch::Tensor kept_weight = problem.weight_on.index_select(1, kept);
    const bool has_edit = level > 0 && level + 1 < bank.levels.size();
    REQUIRE(entry.edits.size() == (has_edit ? 1 : 0));
    if (has_edit) {
      REQUIRE(entry.edits[0].value.scalar_type() == torch::kBFloat16);
      kept_weight = entry.edits[0].value.to(torch::kFloat64);
      const torch::Tensor exact = testing::LeastSquaresOnInputs(input_rows, prepared.weight_on, testing::Lambda(problem), kept);
      // Rounding to 8 bits, and the moments' fp32 sums.
      REQUIRE(((kept_weight - exact).abs() <= exact.abs() / 256 + 1e-5).all().item<bool>());
    }
    const double direct = testing::ErrorOnInputs(x_Nn, problem.weight_on, kept, kept_weight);
    REQUIRE(entry.squared_error == Approx(direct).epsilon(1e-4).margin(1e-12));
    REQUIRE(entry.squared_error >= last_error * (1 - 1e-5));
    last_error = entry.squared_error;
  }
}

TEST_CASE("CalibrationPass: second moments are those of the dense model's activations, in any order of layers", "[prune]") {
  SetComputeThreads(1);
  const auto model = MakeRandomModel();
  torch::manual_seed(3);
  const torch::Tensor tokens = torch::randint(0, 64, {7, 16}, torch::kInt64);
  CalibrationOptions two_rows;
  two_rows.tokens_per_batch = 32;
  const auto pass = MakePass(model, tokens, two_rows);
  for (const int layer : {0, 1, 2, 1, 0, 2}) {
    const LayerStatistics statistics = CollectOk(*pass, layer);
    const auto [heads, neurons] = RawInputs(*model, tokens, layer);
    const double scale = 2.0 / static_cast<double>(tokens.numel());
    REQUIRE(statistics.num_tokens == 7 * 16);
    REQUIRE(testing::RelativeDifference(statistics.attention_moment_nn, heads.t().mm(heads) * scale) < 1e-5);
    REQUIRE(testing::RelativeDifference(statistics.ffn_moment_nn, neurons.t().mm(neurons) * scale) < 1e-5);
    REQUIRE(pass->position() == layer + 1);
  }
  REQUIRE(pass->Collect(3, nullptr, std::stop_token()).status().code() == absl::StatusCode::kInvalidArgument);

  std::stop_source source;
  const BankProgress stop_soon = [&](const char*, int64_t, int64_t) { source.request_stop(); };
  REQUIRE(pass->Collect(1, stop_soon, source.get_token()).status().code() == absl::StatusCode::kCancelled);
  const LayerStatistics again = CollectOk(*pass, 1);
  CalibrationOptions in_host_memory = two_rows;
  in_host_memory.hidden_memory_bytes = 1;
  const LayerStatistics fresh = CollectOk(*MakePass(model, tokens, in_host_memory), 1);
  REQUIRE(torch::equal(again.ffn_moment_nn, fresh.ffn_moment_nn));

  LanguageModel broken = *model;
  broken.layers[1].ffn.up_weight = torch::full_like(broken.layers[1].ffn.up_weight, 3e38F);
  const auto broken_pass = MakePass(std::make_shared<const LanguageModel>(broken), tokens, two_rows);
  const auto refused = broken_pass->Collect(1, nullptr, std::stop_token());
  REQUIRE(refused.status().code() == absl::StatusCode::kInvalidArgument);
  REQUIRE(refused.status().ToString().find("layer 1") != std::string::npos);
}

TEST_CASE("LayerBank: on the tiny model every level is the least-squares solution, its error the direct residual", "[prune]") {
  SetComputeThreads(1);
  const auto model = LoadTiny();
  const torch::Tensor tokens = TinyTokens(32);
  const auto pass = MakePass(model, tokens, CalibrationOptions());
  for (const int layer : {0, 5}) {
    const LayerStatistics statistics = CollectOk(*pass, layer);
    const auto [heads, neurons] = RawInputs(*model, tokens, layer);
    for (const HeadGranularity granularity : {HeadGranularity::kHead, HeadGranularity::kKvGroup}) {
      const bool by_head = granularity == HeadGranularity::kHead;
      const Ladder ladder = LadderFor(model->config, granularity, 32, false);
      const LayerBank bank = BuildOk(*model, statistics, ladder);
      REQUIRE(bank.attention.levels.size() == (by_head ? 7 : 3));
      RequireTrueBank(bank.attention, model->layers[layer].attention.o_weight, statistics.attention_moment_nn, heads, 32,
                      by_head ? 1 : 3);
      if (!by_head) continue;
      REQUIRE(bank.ffn.levels.size() == 17);
      RequireTrueBank(bank.ffn, model->layers[layer].ffn.down_weight, statistics.ffn_moment_nn, neurons, 1, 1);
      // With one thread a second build gives the same bytes.
      REQUIRE(SerializeLayerBank(bank) == SerializeLayerBank(BuildOk(*model, statistics, ladder)));
    }
  }
}

TEST_CASE("LayerBank: pieces at a level assemble to a smaller model", "[prune]") {
  SetComputeThreads(1);
  const auto model = MakeRandomModel();
  torch::manual_seed(4);
  const torch::Tensor tokens = torch::randint(0, 64, {8, 16}, torch::kInt64);
  const bool keep_kv_whole = GENERATE(false, true);
  const Ladder ladder = LadderFor(model->config, HeadGranularity::kHead, 16, keep_kv_whole);
  const auto pass = MakePass(model, tokens, CalibrationOptions());
  std::vector<LayerBank> layers;
  for (int layer = 0; layer < 3; ++layer) layers.push_back(BuildOk(*model, CollectOk(*pass, layer), ladder));
  const int64_t layer_bytes = layers[0].Bytes();
  const auto bank = ResidentBank::Create(model->config, layers, torch::kCPU, 2 * layer_bytes);
  REQUIRE_OK(bank);
  REQUIRE(bank->device_bytes() == 2 * layer_bytes);
  REQUIRE(bank->host_bytes() == layer_bytes);

  std::vector<LayerPieces> pieces;
  Mask mask;
  for (const auto& [attention, ffn] : {std::pair<int, int>{0, 3}, {6, 1}, {8, 0}}) {
    const auto piece = bank->PiecesAt(static_cast<int>(pieces.size()), attention, ffn);
    REQUIRE_OK(piece);
    pieces.push_back(*piece);
    mask.levels.insert(mask.levels.end(), {attention, ffn});
  }
  REQUIRE(pieces[0].attention == Keep::kAll);
  REQUIRE(pieces[0].ffn == Keep::kNone);
  REQUIRE(pieces[1].kept_heads.size() == 2);
  REQUIRE(pieces[2].attention == Keep::kNone);
  REQUIRE(std::is_sorted(pieces[1].kept_heads.begin(), pieces[1].kept_heads.end()));
  const auto assembled = Assemble(*model, pieces);
  REQUIRE_OK(assembled);
  const ModelConfig expected = ApplyMask(model->config, ladder, mask, bank->HeadOrdersOf());
  REQUIRE((assembled->config.layers == expected.layers));
  if (keep_kv_whole) REQUIRE(pieces[1].kept_kv_heads == std::vector<int>{0, 1});
  const RotaryTables rotary = MakeRotaryTables(model->config, 16, torch::kCPU, torch::kFloat32);
  REQUIRE(at::isfinite(Logits(*assembled, tokens, rotary)).all().item<bool>());
  REQUIRE(bank->PiecesAt(0, 9, 0).status().code() == absl::StatusCode::kInvalidArgument);
  REQUIRE(bank->PiecesAt(3, 0, 0).status().code() == absl::StatusCode::kInvalidArgument);
  std::swap(layers[0], layers[1]);
  REQUIRE(ResidentBank::Create(model->config, layers, torch::kCPU, -1).status().code() == absl::StatusCode::kInvalidArgument);
}

TEST_CASE("LayerBank: settings that cannot work are refused by name", "[prune]") {
  const auto model = MakeRandomModel();
  torch::manual_seed(4);
  const auto pass = MakePass(model, torch::randint(0, 64, {4, 16}, torch::kInt64), CalibrationOptions());
  const LayerStatistics statistics = CollectOk(*pass, 0);
  const Ladder ladder = LadderFor(model->config, HeadGranularity::kKvGroup, 16, false);
  const auto build = [&](const BankBuildSettings& settings) {
    return BuildLayerBank(*model, statistics, ladder, settings, nullptr, std::stop_token()).status();
  };
  REQUIRE(build({"magic", "least_squares", 0.01}).ToString().find("magic") != std::string::npos);
  REQUIRE(build({"structured_obs", "magic", 0.01}).code() == absl::StatusCode::kInvalidArgument);
  REQUIRE(build({"structured_obs", "least_squares", -1}).ToString().find("-1") != std::string::npos);
  std::stop_source source;
  source.request_stop();
  const auto stopped = BuildLayerBank(*model, statistics, ladder, BankBuildSettings(), nullptr, source.get_token());
  REQUIRE(stopped.status().code() == absl::StatusCode::kCancelled);
}

}  // namespace
}  // namespace espalier
