#include "common/checkpoint/export_folder.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>

#include "common/checkpoint/model_folder.h"
#include "tests/support/catch.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/checkpoint/folders.h"

namespace espalier::checkpoint {
namespace {

using nlohmann::json;
using testing::Parse;
using testing::RequireMessage;

json DenseConfig() {
  json config = testing::SmallConfig();
  config.update({{"num_hidden_layers", 4},
                 {"rope_theta", 5e5},
                 {"rope_scaling", {{"type", "linear"}, {"factor", 2.0}}},
                 {"eos_token_id", 1},
                 {"torch_dtype", "float32"}});
  return config;
}

// Attention gone in layer 0, uneven heads in layer 1, one KV group and the FFN gone in layer 2, layer 3 intact.
ExportInput Input(testing::OwnedTensors* owned) {
  ExportInput input;
  input.dense_config_json = DenseConfig().dump();
  input.dense = Parse(DenseConfig());
  input.candidate = input.dense;
  input.candidate.layers[0] = {{}, 0, 8};
  input.candidate.layers[1] = {{0, 1, 1}, 2, 24};
  input.candidate.layers[2] = {{0, 0}, 1, 0};
  input.candidate.number_format = NumberFormat::kBFloat16;
  *owned = testing::TensorsOf(input.candidate, Dtype::kBFloat16);
  input.tensors = owned->tensors;
  input.provenance_json = R"({"seed": 7})";
  return input;
}

const ExportFile& Find(const std::vector<ExportFile>& files, const std::string& name) {
  const auto found =
      std::find_if(files.begin(), files.end(), [&](const ExportFile& file) { return file.name == name; });
  REQUIRE(found != files.end());
  return *found;
}

TEST_CASE("Export: config.json names what differs by layer and nothing else", "[checkpoint]") {
  testing::OwnedTensors owned;
  auto files = MakeExport(Input(&owned));
  REQUIRE_OK(files);
  const json config = json::parse(Find(*files, "config.json").Content());
  CHECK(config["model_type"] == "espalier");
  CHECK(config["base_model_type"] == "llama");
  CHECK(config["architectures"] == json{"EspalierForCausalLM"});
  CHECK(config["auto_map"]["AutoModelForCausalLM"] == "modeling_espalier.EspalierForCausalLM");
  CHECK(config["head_dim"] == 4);
  CHECK(config["num_hidden_layers"] == 4);
  CHECK(config["dtype"] == "bfloat16");
  CHECK(config["eos_token_id"] == 1);
  CHECK_FALSE(config.contains("torch_dtype"));
  CHECK_FALSE(config.contains("rope_scaling"));
  CHECK(config["rope_parameters"] == json{{"factor", 2.0}, {"rope_theta", 5e5}, {"rope_type", "linear"}});
  CHECK(config["per_layer_config"] ==
        json{{"0", {{"skip", {"attention"}}, {"intermediate_size", 8}}},
             {"1", {{"num_attention_heads", 3}, {"query_to_kv", {0, 1, 1}}}},
             {"2", {{"skip", {"mlp"}}, {"num_attention_heads", 2}, {"num_key_value_heads", 1}}}});
  CHECK(Find(*files, "modeling_espalier.py").Content().find("class EspalierForCausalLM") != std::string::npos);
  CHECK(Find(*files, "configuration_espalier.py").Content().find("class EspalierConfig") != std::string::npos);
}

TEST_CASE("Export: read back it is the candidate, in one file and in shards", "[checkpoint]") {
  espalier::testing::TempDir temp;
  testing::OwnedTensors owned;
  ExportInput input = Input(&owned);
  input.copied_files = {{"tokenizer.json", "{}"}};
  input.max_shard_bytes = GENERATE(5'000'000'000, 3000);
  auto files = MakeExport(input);
  REQUIRE_OK(files);
  const bool sharded = input.max_shard_bytes < 10'000;
  CHECK(files->size() == (sharded ? 11u : 6u));
  REQUIRE_OK(WriteExport(temp / "export", *files));
  auto opened = ModelFolder::Open(temp / "export");
  REQUIRE_OK(opened);
  CHECK((*opened)->config() == input.candidate);
  CHECK((*opened)->tensors().size() == owned.tensors.size());
  CHECK((*opened)->tensors().count("model.layers.0.input_layernorm.weight") == 0);
  CHECK((*opened)->tensors().count("model.layers.2.post_attention_layernorm.weight") == 0);
  int64_t parameters = 0;
  for (const TensorToWrite& tensor : owned.tensors) {
    CHECK((*opened)->Bytes(tensor.name) == tensor.bytes);
    parameters += static_cast<int64_t>(tensor.bytes.size()) / 2;
  }
  CHECK(parameters == CountParameters(input.candidate));
  auto again = MakeExport(input);
  REQUIRE_OK(again);
  for (size_t i = 0; i < files->size(); ++i) {
    CHECK((*files)[i].Content() == (*again)[i].Content());
    CHECK((*files)[i].num_bytes() == static_cast<int64_t>((*files)[i].Content().size()));
  }
}

TEST_CASE("Export: a dense candidate has no per_layer_config", "[checkpoint]") {
  const ModelConfig dense = Parse(DenseConfig());
  auto text = ExportConfigJson(DenseConfig().dump(), dense, dense, NumberFormat::kFloat32);
  REQUIRE_OK(text);
  CHECK_FALSE(json::parse(*text).contains("per_layer_config"));
  CHECK(Parse(json::parse(*text)) == dense);
}

TEST_CASE("Export: families, windows and biases survive the way through config.json", "[checkpoint]") {
  json config = DenseConfig();
  SECTION("mistral with a window") {
    config.update({{"model_type", "mistral"}, {"architectures", {"MistralForCausalLM"}}, {"sliding_window", 32}});
  }
  SECTION("mistral without") {
    config.update({{"model_type", "mistral"}, {"architectures", {"MistralForCausalLM"}}, {"sliding_window", nullptr}});
  }
  SECTION("qwen2 with sliding layers") {
    config.update({{"model_type", "qwen2"},
                   {"architectures", {"Qwen2ForCausalLM"}},
                   {"sliding_window", 32},
                   {"use_sliding_window", true},
                   {"max_window_layers", 2}});
  }
  SECTION("qwen3 with biases") {
    config.update(
        {{"model_type", "qwen3"}, {"architectures", {"Qwen3ForCausalLM"}}, {"attention_bias", true}, {"head_dim", 8}});
  }
  SECTION("llama with every bias") {
    config.update({{"attention_bias", true}, {"mlp_bias", true}, {"tie_word_embeddings", true}});
  }
  SECTION("llama 3 rope") {
    config["rope_scaling"] = {{"rope_type", "llama3"},
                              {"factor", 8.0},
                              {"low_freq_factor", 1.0},
                              {"high_freq_factor", 4.0},
                              {"original_max_position_embeddings", 32}};
  }
  const ModelConfig dense = Parse(config);
  ModelConfig candidate = dense;
  candidate.layers[3] = {{0, 1}, 2, 16};
  auto text = ExportConfigJson(config.dump(), dense, candidate, NumberFormat::kFloat32);
  REQUIRE_OK(text);
  CHECK(Parse(json::parse(*text)) == candidate);
}

TEST_CASE("Export: tensors that are not the candidate's are refused by name", "[checkpoint]") {
  testing::OwnedTensors owned;
  ExportInput input = Input(&owned);
  SECTION("missing") {
    input.tensors.pop_back();
    RequireMessage(MakeExport(input).status(), {"model.norm.weight", "missing"});
  }
  SECTION("of a removed unit") {
    testing::AddTensor(&owned, "model.layers.0.input_layernorm.weight", Dtype::kBFloat16, {16});
    input.tensors.push_back(owned.tensors.back());
    RequireMessage(MakeExport(input).status(), {"model.layers.0.input_layernorm.weight", "does not belong"});
  }
  SECTION("twice") {
    input.tensors.push_back(input.tensors.front());
    RequireMessage(MakeExport(input).status(), {input.tensors.front().name, "twice"});
  }
  SECTION("of another shape") {
    std::swap(input.tensors.front().shape[0], input.tensors.front().shape[1]);
    RequireMessage(MakeExport(input).status(), {input.tensors.front().name, "[16, 40]", "[40, 16]"});
  }
  SECTION("of another number format") {
    input.tensors.back().dtype = Dtype::kFloat16;
    RequireMessage(MakeExport(input).status(), {"model.norm.weight", "float16", "bfloat16"});
  }
  SECTION("with too few bytes") {
    input.tensors.back().bytes.remove_suffix(1);
    RequireMessage(MakeExport(input).status(), {"model.norm.weight", "31 bytes"});
  }
  SECTION("a copied file with the name of one of ours") {
    input.copied_files = {{"config.json", "{}"}};
    RequireMessage(MakeExport(input).status(), {"config.json"});
  }
}

}  // namespace
}  // namespace espalier::checkpoint
