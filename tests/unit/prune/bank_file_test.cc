#include <cstring>
#include <functional>

#include "common/checkpoint/safetensors.h"
#include "common/domain/bank_key.h"
#include "tests/support/catch.h"
#include "worker/model/random_model.h"
#include "worker/prune/bank.h"

namespace espalier {
namespace {

struct Fixture {
  ModelConfig config;
  Ladder ladder;
  std::string bytes;
};

Fixture MakeFixture() {
  Fixture fixture;
  fixture.config = SmallConfig(2, 16, 4, 2, 4, 24, 32);
  LadderOptions options;
  options.width_multiple = 8;
  const auto ladder = BuildLadder(fixture.config, options);
  REQUIRE_OK(ladder);
  fixture.ladder = *ladder;
  const LanguageModel model = RandomLanguageModel(fixture.config, 1, torch::kCPU, torch::kFloat32);
  torch::manual_seed(2);
  LayerStatistics statistics;
  statistics.layer = 1;
  statistics.num_tokens = 50;
  const torch::Tensor heads = torch::randn({50, 16}), neurons = torch::randn({50, 24});
  statistics.attention_moment_nn = heads.t().mm(heads) / 25;
  statistics.ffn_moment_nn = neurons.t().mm(neurons) / 25;
  const auto bank = BuildLayerBank(model, statistics, fixture.ladder, BankBuildSettings(), nullptr, std::stop_token());
  REQUIRE_OK(bank);
  fixture.bytes = SerializeLayerBank(*bank);
  return fixture;
}

absl::StatusOr<LayerBank> Parse(const Fixture& fixture, const std::string& bytes) {
  return ParseLayerBank(bytes, "bank-file", fixture.config, fixture.ladder, 1, torch::kCPU);
}

// The same file with one thing changed, its header made anew.
using Forger = std::function<void(std::map<std::string, std::string>& tensors, std::map<std::string, std::string>& metadata,
                                  std::map<std::string, checkpoint::TensorInfo>& infos)>;
std::string Forge(const std::string& bytes, const Forger& forger) {
  std::map<std::string, std::string> metadata;
  auto infos = checkpoint::ParseSafetensorsHeader(bytes, "bank-file", &metadata);
  REQUIRE_OK(infos);
  std::map<std::string, std::string> contents;
  for (const auto& [name, info] : *infos) contents[name] = bytes.substr(info.begin, info.end - info.begin);
  forger(contents, metadata, *infos);
  std::vector<checkpoint::TensorToWrite> tensors;
  for (const auto& [name, content] : contents) tensors.push_back({name, (*infos)[name].dtype, (*infos)[name].shape, content});
  return checkpoint::SerializeSafetensors(tensors, metadata);
}

TEST_CASE("Bank file: what is written is read back, byte for byte", "[prune]") {
  const Fixture fixture = MakeFixture();
  const auto bank = Parse(fixture, fixture.bytes);
  REQUIRE_OK(bank);
  REQUIRE(SerializeLayerBank(*bank) == fixture.bytes);
  REQUIRE(bank->layer == 1);
  REQUIRE(bank->settings.damping == 0.01);
  REQUIRE(bank->attention.levels.size() == 3);
  REQUIRE(bank->ffn.levels[1].edits[0].value.sizes() == std::vector<int64_t>{16, 16});
  REQUIRE(bank->ffn.levels[1].kept.numel() == 16);
}

TEST_CASE("Bank file: content that contradicts itself or another model is refused with its name", "[prune]") {
  const Fixture fixture = MakeFixture();
  const auto refused = [&](const Forger& forger, absl::StatusCode code, const std::string& part) {
    const absl::Status status = Parse(fixture, Forge(fixture.bytes, forger)).status();
    INFO(status.ToString());
    REQUIRE(status.code() == code);
    REQUIRE(status.ToString().find("bank-file") != std::string::npos);
    REQUIRE(status.ToString().find(part) != std::string::npos);
  };
  const auto data_loss = absl::StatusCode::kDataLoss;
  const auto other = absl::StatusCode::kFailedPrecondition;
  const std::string weight = "ffn/1/replacement/mlp.down_proj.weight";
  refused([](auto& t, auto&, auto&) { t["ffn/order"][0] = t["ffn/order"][4]; }, data_loss, "permutation");
  refused([](auto& t, auto&, auto&) { t["ffn/order"][3] = 0x7F; }, data_loss, "permutation");
  refused([](auto& t, auto&, auto&) { std::swap(t["attention/order"][0], t["attention/order"][4]); }, data_loss, "splits a KV group");
  refused([](auto& t, auto&, auto&) { t["ffn/removed"][4] = 7; }, data_loss, "ladder");
  refused([](auto& t, auto&, auto&) { std::memset(t["ffn/squared_error"].data() + 8, 0xFF, 8); }, data_loss, "squared_error");
  refused([&](auto& t, auto&, auto&) { std::memset(t[weight].data(), 0xFF, 2); }, data_loss, "not finite");
  refused([&](auto& t, auto&, auto&) { t.erase(weight); }, data_loss, "missing");
  refused([&](auto&, auto&, auto& i) { i[weight].shape = {8, 32}; }, data_loss, weight);
  refused([&](auto&, auto&, auto& i) { i[weight].dtype = checkpoint::Dtype::kFloat16; }, data_loss, "F16");
  refused([](auto& t, auto&, auto& i) {
    t["ffn/9/replacement/x"] = std::string(4, '\0');
    i["ffn/9/replacement/x"] = {checkpoint::Dtype::kFloat32, {1}, 0, 4};
  }, data_loss, "does not belong");
  refused([](auto&, auto& m, auto&) { m.erase("ladder"); }, data_loss, "ladder");
  refused([](auto&, auto& m, auto&) { m["damping"] = "much"; }, data_loss, "much");
  refused([](auto&, auto& m, auto&) { m["layer"] = "0"; }, other, "layer");
  refused([](auto&, auto& m, auto&) { m["format"] = "espalier level bank 2"; }, other, "format");
  refused([](auto&, auto& m, auto&) { m["number_format"] = "float32"; }, other, "float32");

  Fixture other_ladder = fixture;
  other_ladder.ladder.units.back().removed = {0, 24};
  REQUIRE(Parse(other_ladder, fixture.bytes).status().code() == other);
}

TEST_CASE("Bank file: no truncation and no flipped header byte gets past the reader unchecked", "[prune]") {
  const Fixture fixture = MakeFixture();
  for (size_t size = 0; size < fixture.bytes.size(); size += 97) REQUIRE(!Parse(fixture, fixture.bytes.substr(0, size)).ok());
  uint64_t header = 0;
  std::memcpy(&header, fixture.bytes.data(), 8);
  for (size_t i = 0; i < 8 + header; ++i) {
    std::string bytes = fixture.bytes;
    bytes[i] = static_cast<char>(bytes[i] ^ 1);
    const auto bank = Parse(fixture, bytes);
    // What still parses differs in a free text of the metadata only, not in anything that assembly uses.
    if (bank.ok()) REQUIRE(bank->attention.order.size() == 4);
  }
}

TEST_CASE("BankKey: every part of the method and the data changes it, nothing else does", "[prune]") {
  const Fixture fixture = MakeFixture();
  JobContext context;
  context.model_digest = "model";
  context.tokens_digest = "tokens";
  context.sequence_length = 512;
  context.ladder = fixture.ladder;
  context.criterion = "structured_obs";
  context.compensation = "least_squares";
  const WindowKey calibration{Pool::kCalibrate, 0, 0, 0};
  const BankKeyParts parts = BankKeyPartsOf(context, calibration, 32, NumberFormat::kBFloat16);
  const std::string key = BankKey(parts);
  REQUIRE(key.size() == 64);
  JobContext elsewhere = context;
  elsewhere.model_folder = "/another/place";
  elsewhere.cpu_threads = 2;
  REQUIRE(BankKey(BankKeyPartsOf(elsewhere, calibration, 32, NumberFormat::kBFloat16)) == key);
  const auto changed = [&](const std::function<void(BankKeyParts&)>& change) {
    BankKeyParts other = parts;
    change(other);
    REQUIRE(BankKey(other) != key);
  };
  changed([](BankKeyParts& p) { p.model_digest = "m"; });
  changed([](BankKeyParts& p) { p.tokens_digest = "t"; });
  changed([](BankKeyParts& p) { p.calibration.draw = 1; });
  changed([](BankKeyParts& p) { p.calibration_windows = 33; });
  changed([](BankKeyParts& p) { p.sequence_length = 256; });
  changed([](BankKeyParts& p) { p.ladder.keep_kv_whole = true; });
  changed([](BankKeyParts& p) { p.ladder.units[1].removed = {0, 24}; });
  changed([](BankKeyParts& p) { p.criterion = "c"; });
  changed([](BankKeyParts& p) { p.compensation = "c"; });
  changed([](BankKeyParts& p) { p.damping = 0.0100000001; });
  changed([](BankKeyParts& p) { p.number_format = NumberFormat::kFloat32; });
}

}  // namespace
}  // namespace espalier
