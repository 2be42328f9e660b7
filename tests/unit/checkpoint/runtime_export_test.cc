#include "common/checkpoint/runtime_export.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>

#include "common/checkpoint/first_parent_folder.h"
#include "common/checkpoint/gguf_tokenizer.h"
#include "common/checkpoint/gguf_writer.h"
#include "common/checkpoint/number_formats.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/checkpoint/folders.h"

namespace espalier::checkpoint {
namespace {

using espalier::testing::TempDir;
using nlohmann::json;
using testing::AddTensor;
using testing::Parse;
using testing::RequireMessage;
using testing::SmallConfig;
using testing::TensorsOf;
using testing::Write;
using testing::WriteFolder;

// One of our exports: 3 layers of 4 heads on 2 KV heads, FFN width 512; attention[1] and ffn[2] removed.
json PrunedConfig() {
  json config = SmallConfig();
  config["model_type"] = "espalier";
  config["base_model_type"] = "llama";
  config["architectures"] = {"EspalierForCausalLM"};
  config["num_hidden_layers"] = 3;
  config["intermediate_size"] = 512;
  config["eos_token_id"] = 7;
  config["per_layer_config"]["0"] = {{"intermediate_size", 256}};
  config["per_layer_config"]["1"]["skip"] = {"attention"};
  config["per_layer_config"]["2"]["skip"] = {"mlp"};
  return config;
}

std::unique_ptr<ModelFolder> OpenPruned(const TempDir& root, const json& config) {
  const std::string folder = root.path() + "/model";
  WriteFolder(folder, config, TensorsOf(Parse(config), Dtype::kFloat32).tensors);
  auto model = ModelFolder::Open(folder);
  REQUIRE_OK(model);
  return *std::move(model);
}

json ConfigIn(const std::vector<ExportFile>& files) {
  REQUIRE(files.front().name == "config.json");
  return json::parse(files.front().Content());
}

TEST_CASE("Nemotron-NAS export: a block for each layer, widths by ffn_mult, only the tensors that stay") {
  const TempDir root;
  const auto model = OpenPruned(root, PrunedConfig());
  const auto files = MakeNemotronNasExport(*model);
  REQUIRE_OK(files);
  const json config = ConfigIn(*files);
  CHECK(config["architectures"] == json::array({"DeciLMForCausalLM"}));
  CHECK(config["model_type"] == "nemotron-nas");
  CHECK(config["eos_token_id"] == 7);
  CHECK_FALSE(config.contains("per_layer_config"));
  const json& blocks = config["block_configs"];
  REQUIRE(blocks.size() == 3);
  CHECK(blocks[0]["attention"]["n_heads_in_group"] == 2);
  CHECK(blocks[0]["ffn"]["ffn_mult"] == 1.5 * 128 / 16);
  CHECK(blocks[1]["attention"]["no_op"] == true);
  CHECK(blocks[1]["ffn"]["no_op"] == false);
  CHECK(blocks[2]["ffn"]["no_op"] == true);
  const auto weights =
      std::find_if(files->begin(), files->end(), [](const auto& file) { return file.name == "model.safetensors"; });
  REQUIRE(weights != files->end());
  const std::string bytes = weights->Content();
  const auto tensors = ParseSafetensorsHeader(bytes, "model.safetensors", nullptr);
  REQUIRE_OK(tensors);
  CHECK(tensors->size() == model->tensors().size());
  CHECK_FALSE(tensors->contains("model.layers.1.input_layernorm.weight"));
}

TEST_CASE("AnyModel export: the dense model's type with the sparse map") {
  const TempDir root;
  const auto files = MakeAnyModelExport(*OpenPruned(root, PrunedConfig()));
  REQUIRE_OK(files);
  const json config = ConfigIn(*files);
  CHECK(config["architectures"] == json::array({"AnyModel"}));
  CHECK(config["base_architecture"] == "LlamaForCausalLM");
  CHECK(config["model_type"] == "llama");
  CHECK(config["intermediate_size"] == 512);
  CHECK(config["per_layer_config"] == PrunedConfig()["per_layer_config"]);
  CHECK(config["allow_global_per_layer_attribute_access"] == true);
}

TEST_CASE("Runtime exports: what does not fit is refused by its unit and nothing is written") {
  const TempDir root;
  json config = PrunedConfig();
  config["per_layer_config"]["0"] = {{"num_attention_heads", 3}, {"query_to_kv", {0, 0, 1}}};
  const auto model = OpenPruned(root, config);
  RequireMessage(MakeNemotronNasExport(*model).status(), {"NEMOTRON_NAS", "attention[0]", "unevenly"});
  RequireMessage(MakeAnyModelExport(*model).status(), {"VLLM_ANYMODEL", "attention[0]"});
  const std::string path = root.path() + "/model.gguf";
  RequireMessage(WriteGguf(*model, {}, path), {"GGUF", "attention[0]"});
  CHECK_FALSE(ReadFile(path, 10).ok());
}

TEST_CASE("GGUF: the head counts, the data is aligned, and its size is what the tensors take") {
  const TempDir root;
  const auto model = OpenPruned(root, PrunedConfig());
  for (const std::string type : {"auto", "f16", "q8_0"}) {
    GgufOptions options;
    options.type = *ParseGgufType(type);
    const std::string path = root.path() + "/" + type + ".gguf";
    REQUIRE_OK(WriteGguf(*model, options, path));
    const auto bytes = ReadFile(path, 1 << 22);
    REQUIRE_OK(bytes);
    CHECK(bytes->substr(0, 4) == "GGUF");
    uint64_t tensors = 0;
    std::memcpy(&tensors, bytes->data() + 8, 8);
    CHECK(tensors == model->tensors().size() + 4);  // ffn[2] is gone beside a kept attention: four tensors of zeros
    CHECK(bytes->size() % 32 == 0);
    for (const char* key : {"deci.attention.head_count_kv", "deci.feed_forward_length", "blk.2.ffn_gate.weight"})
      CHECK(bytes->find(key) != std::string::npos);
    CHECK(bytes->find("blk.1.attn_q.weight") == std::string::npos);
  }
  CHECK_FALSE(ParseGgufType("q4_k").ok());
}

TEST_CASE("GGUF: a tokenizer whose splitting llama.cpp does not know is refused with its rule") {
  const TempDir root;
  const auto model = OpenPruned(root, PrunedConfig());
  json tokenizer = {{"model", {{"type", "BPE"}, {"vocab", {{"a", 0}, {"b", 1}, {"ab", 2}}}, {"merges", {"a b"}}}},
                    {"pre_tokenizer", {{"type", "Whitespace"}}}};
  Write(model->path() + "/tokenizer.json", tokenizer.dump());
  const std::string path = root.path() + "/model.gguf";
  RequireMessage(WriteGguf(*model, {}, path), {"tokenizer.json", "Whitespace", "--without-tokenizer"});
  RequireMessage(CheckGgufTokenizer(model->path(), 40), {"tokenizer.json", "Whitespace", "--without-tokenizer"});
  CHECK(WriteGguf(*model, {.type = std::nullopt, .without_tokenizer = true}, path).ok());
  tokenizer["pre_tokenizer"] = {{"type", "ByteLevel"}, {"use_regex", true}};
  Write(model->path() + "/tokenizer.json", tokenizer.dump());
  CHECK(WriteGguf(*model, {}, path).ok());
  CHECK(CheckGgufTokenizer(model->path(), 40).ok());
  CHECK(CheckGgufTokenizer(root.path(), 40).ok());  // no tokenizer.json: a GGUF of token ids
  tokenizer["model"]["vocab"]["c"] = 40;  // the model has 40 tokens
  Write(model->path() + "/tokenizer.json", tokenizer.dump());
  RequireMessage(WriteGguf(*model, {}, path), {"token 'c'", "40"});
  RequireMessage(CheckGgufTokenizer(model->path(), 40), {"token 'c'", "40"});
}

TEST_CASE("Number formats: every half and bfloat16 survives the way through a float") {
  for (uint32_t bits = 0; bits < 65'536; ++bits) {
    const auto value = static_cast<uint16_t>(bits);
    if (const float half = HalfToFloat(value); !std::isnan(half)) REQUIRE(FloatToHalf(half) == value);
    if (const float brain = BFloat16ToFloat(value); !std::isnan(brain)) REQUIRE(FloatToBFloat16(brain) == value);
  }
  CHECK(std::isnan(HalfToFloat(FloatToHalf(NAN))));
  CHECK(FloatToHalf(65520.0f) == 0x7c00);  // halfway above the largest half: to even, which is infinity
  CHECK(FloatToHalf(65519.9f) == 0x7bff);
  CHECK(FloatToHalf(1.0f + 1.0f / 2048) == 0x3c00);      // a tie goes to even
  CHECK(FloatToHalf(1.0f + 3.0f / 2048) == 0x3c02);
  CHECK(FloatToBFloat16(1.0f + 1.0f / 256) == 0x3f80);
  std::vector<float> values(32, 0.5f);
  values[3] = -127.0f;
  const std::string block = ToQ8(values);
  REQUIRE(block.size() == 34);
  CHECK(static_cast<int8_t>(block[2 + 3]) == -127);
  CHECK(static_cast<int8_t>(block[2]) == 1);  // 0.5 rounds away from zero
}

json DenseNumbers() { return {{"num_hidden_layers", 3}, {"hidden_size", 16}}; }

ModelConfig Dense() {
  json config = SmallConfig();
  config["num_hidden_layers"] = 3;
  config["intermediate_size"] = 512;
  return Parse(config);
}

TEST_CASE("First parent from a folder: every published schema gives the same mask") {
  const RemovedUnits expected = {{"ffn[0]", 256}, {"attention[1]", 4}, {"ffn[2]", 512}};
  json nas = DenseNumbers();
  nas["block_configs"] = {
      {{"attention", {{"no_op", false}, {"n_heads_in_group", 2}}}, {"ffn", {{"no_op", false}, {"ffn_mult", 12.0}}}},
      {{"attention", {{"no_op", true}, {"n_heads_in_group", nullptr}}}, {"ffn", {{"intermediate_size", 512}}}},
      {{"attention", {{"n_heads_in_group", 2}}}, {"ffn", {{"no_op", true}, {"ffn_mult", nullptr}}}}};
  json first = DenseNumbers();
  first["block_configs"] = {
      {{"attention", {{"num_key_value_heads", 2}}}, {"ffn", {{"intermediate_size", 256}, {"moe", nullptr}}}},
      {{"attention", {{"no_op", true}, {"num_key_value_heads", nullptr}}}, {"ffn", {{"intermediate_size", 512}}}},
      {{"attention", {{"num_key_value_heads", 2}}}, {"ffn", {{"no_op", true}}}}};
  json second = DenseNumbers();
  const json attention = {{"kind", "attention"}, {"num_query_heads", 4}, {"num_kv_heads", 2}};
  second["block_configs"] = {
      {{"subblock_configs", {attention, {{"kind", "ffn"}, {"intermediate_size", 256}}}}},
      {{"subblock_configs", {{{"kind", "attention"}, {"no_op", true}}, {{"kind", "ffn"}, {"intermediate_size", 512}}}}},
      {{"subblock_configs", {attention, {{"kind", "ffn"}, {"no_op", true}}}}}};
  for (const json& config : {nas, first, second, PrunedConfig()}) {
    const auto removed = ParseRemovedUnits(config.dump(), "config.json", Dense());
    REQUIRE_OK(removed);
    CHECK(*removed == expected);
  }
}

TEST_CASE("First parent from a folder: what is no pruned form of the dense model is refused by its layer") {
  const auto refused = [](const json& block, const std::vector<std::string>& parts) {
    json config = DenseNumbers();
    config["block_configs"] = {json::object(), block, json::object()};
    INFO(block.dump());
    std::vector<std::string> all = {"block_configs[1]"};
    all.insert(all.end(), parts.begin(), parts.end());
    RequireMessage(ParseRemovedUnits(config.dump(), "config.json", Dense()).status(), all);
  };
  refused({{"block_type", "mamba"}}, {"mamba", "hybrid"});
  refused({{"attention", {{"num_key_value_heads", 1}}}, {"ffn", json::object()}}, {"4 query heads on 1 KV heads"});
  refused({{"attention", {{"replace_with_linear", true}}}}, {"linear map"});
  refused({{"ffn", {{"intermediate_size", 513}}}}, {"intermediate_size", "513"});
  refused({{"ffn", {{"ffn_mult", 100.0}}}}, {"ffn_mult"});
  refused({{"ffn", 5}}, {"no object"});
  refused({{"subblock_configs", {{{"kind", 5}}}}}, {"kind"});
  refused({{"parallel_blocks", {1}}}, {"parallel_blocks"});
  json other = DenseNumbers();
  other["hidden_size"] = 32;
  other["block_configs"] = {json::object(), json::object(), json::object()};
  RequireMessage(ParseRemovedUnits(other.dump(), "config.json", Dense()).status(), {"hidden_size"});
  RequireMessage(ParseRemovedUnits(DenseNumbers().dump(), "config.json", Dense()).status(), {"neither"});
}

}  // namespace
}  // namespace espalier::checkpoint
