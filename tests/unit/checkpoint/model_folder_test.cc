#include "common/checkpoint/model_folder.h"

#include <filesystem>
#include <string>

#include "common/base/files.h"
#include "tests/support/catch.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/checkpoint/folders.h"

namespace espalier::checkpoint {
namespace {

using nlohmann::json;
using testing::RequireMessage;
using testing::SmallConfig;
using testing::Write;
using testing::WriteFolder;

testing::OwnedTensors SmallTensors() { return testing::TensorsOf(testing::Parse(SmallConfig()), Dtype::kBFloat16); }

absl::Status Refusal(const std::string& folder) { return ModelFolder::Open(folder).status(); }

TEST_CASE("ModelFolder: one file or shards give the same tensors", "[checkpoint]") {
  espalier::testing::TempDir temp;
  const testing::OwnedTensors owned = SmallTensors();
  WriteFolder(temp / "single", SmallConfig(), owned.tensors);
  auto single = ModelFolder::Open(temp / "single");
  REQUIRE_OK(single);
  CHECK((*single)->tensors().size() == owned.tensors.size());
  CHECK((*single)->config().number_format == NumberFormat::kBFloat16);  // config.json says float32
  CHECK((*single)->tensors().at("model.layers.1.self_attn.k_proj.weight").shape == std::vector<int64_t>{8, 16});

  const std::string sharded = temp / "sharded";
  REQUIRE_OK(CreateFolders(sharded));
  Write(sharded + "/config.json", SmallConfig().dump());
  json map;
  for (int shard = 0; shard < 2; ++shard) {
    const std::string name = "part-" + std::to_string(shard) + ".safetensors";
    std::vector<TensorToWrite> part;
    for (size_t i = static_cast<size_t>(shard); i < owned.tensors.size(); i += 2) {
      part.push_back(owned.tensors[i]);
      map[owned.tensors[i].name] = name;
    }
    Write(sharded + "/" + name, SerializeSafetensors(part, {}));
  }
  const std::string index = sharded + "/model.safetensors.index.json";
  Write(index, json{{"weight_map", map}}.dump());
  auto opened = ModelFolder::Open(sharded);
  REQUIRE_OK(opened);
  for (const TensorToWrite& tensor : owned.tensors) {
    CHECK((*opened)->Bytes(tensor.name) == tensor.bytes);
    CHECK((*single)->Bytes(tensor.name) == tensor.bytes);
    CHECK((*opened)->FileOf(tensor.name) == sharded + "/" + map[tensor.name].get<std::string>());
  }

  SECTION("index names that leave the folder") {
    for (const char* name : {"../single/model.safetensors", "/etc/passwd.safetensors", "a/b.safetensors", "..",
                             ".hidden.safetensors", "weights.bin", ""}) {
      json changed = map;
      changed["model.norm.weight"] = name;
      Write(index, json{{"weight_map", changed}}.dump());
      RequireMessage(Refusal(sharded), {"index.json", "model.norm.weight"});
    }
  }
  SECTION("an index that disagrees with its shards") {
    json changed = map;
    changed["model.norm.weight"] =
        map["model.norm.weight"] == "part-0.safetensors" ? "part-1.safetensors" : "part-0.safetensors";
    Write(index, json{{"weight_map", changed}}.dump());
    RequireMessage(Refusal(sharded), {"model.norm.weight"});
    changed = map;
    changed["phantom"] = "part-0.safetensors";
    Write(index, json{{"weight_map", changed}}.dump());
    RequireMessage(Refusal(sharded), {"phantom", "part-0.safetensors"});
    Write(index, "{}");
    RequireMessage(Refusal(sharded), {"weight_map"});
  }
  SECTION("a shard that is gone") {
    std::filesystem::remove(sharded + "/part-1.safetensors");
    RequireMessage(Refusal(sharded), {"part-1.safetensors"});
  }
}

TEST_CASE("ModelFolder: a bad folder is refused with file, tensor and value", "[checkpoint]") {
  espalier::testing::TempDir temp;
  const std::string folder = temp / "model";
  testing::OwnedTensors owned = SmallTensors();

  SECTION("no folder, no config.json") {
    RequireMessage(Refusal(temp / "nowhere"), {"nowhere", "config.json"});
    REQUIRE_OK(CreateFolders(folder));
    RequireMessage(Refusal(folder), {folder, "config.json"});
  }
  SECTION("no weights, or pickles only") {
    REQUIRE_OK(CreateFolders(folder));
    Write(folder + "/config.json", SmallConfig().dump());
    RequireMessage(Refusal(folder), {folder, "model.safetensors"});
    Write(folder + "/pytorch_model.bin", "PK\x03\x04");
    RequireMessage(Refusal(folder), {"pytorch_model.bin", "safetensors are needed"});
  }
  SECTION("a pickle under the name of safetensors") {
    WriteFolder(folder, SmallConfig(), owned.tensors);
    Write(folder + "/model.safetensors", std::string("\x80\x02}q\x00X\x06\x00\x00\x00weight", 16));
    RequireMessage(Refusal(folder), {"model.safetensors", "pickle"});
  }
  SECTION("a truncated file") {
    WriteFolder(folder, SmallConfig(), owned.tensors);
    std::filesystem::resize_file(folder + "/model.safetensors",
                                 std::filesystem::file_size(folder + "/model.safetensors") - 7);
    RequireMessage(Refusal(folder), {"model.safetensors", "truncated"});
  }
  SECTION("a missing tensor") {
    owned.tensors.pop_back();
    WriteFolder(folder, SmallConfig(), owned.tensors);
    RequireMessage(Refusal(folder), {folder, "model.norm.weight", "missing"});
  }
  SECTION("a tensor too many") {
    testing::AddTensor(&owned, "model.layers.7.mlp.up_proj.weight", Dtype::kBFloat16, {24, 16});
    WriteFolder(folder, SmallConfig(), owned.tensors);
    RequireMessage(Refusal(folder), {"model.layers.7.mlp.up_proj.weight", "does not belong"});
  }
  SECTION("a wrong shape") {
    json config = SmallConfig();
    config["intermediate_size"] = 32;
    WriteFolder(folder, config, owned.tensors);
    RequireMessage(Refusal(folder),
                   {"model.safetensors", "model.layers.0.mlp.down_proj.weight", "[16, 24]", "[16, 32]"});
  }
  SECTION("integers as weights") {
    owned = testing::TensorsOf(testing::Parse(SmallConfig()), Dtype::kInt16);
    WriteFolder(folder, SmallConfig(), owned.tensors);
    RequireMessage(Refusal(folder), {"I16"});
  }
  SECTION("rotary buffers and the head beside tied embeddings are ignored") {
    testing::AddTensor(&owned, "model.layers.0.self_attn.rotary_emb.inv_freq", Dtype::kFloat32, {2});
    json config = SmallConfig();
    config["tie_word_embeddings"] = true;
    WriteFolder(folder, config, owned.tensors);
    auto opened = ModelFolder::Open(folder);
    REQUIRE_OK(opened);
    CHECK((*opened)->tensors().count("lm_head.weight") == 0);
    CHECK((*opened)->FileOf("lm_head.weight").empty());
  }
}

TEST_CASE("FolderDigest: changes with any byte of config and weights, and with nothing else", "[checkpoint]") {
  espalier::testing::TempDir temp;
  const std::string folder = temp / "model";
  const testing::OwnedTensors owned = SmallTensors();
  WriteFolder(folder, SmallConfig(), owned.tensors);
  const std::string digest = FolderDigest(folder).value();
  CHECK(digest.size() == 64);
  Write(folder + "/tokenizer.json", "{}");
  Write(folder + "/README.md", "text");
  CHECK(FolderDigest(folder).value() == digest);
  WriteFolder(temp / "copy", SmallConfig(), owned.tensors);
  CHECK(FolderDigest(temp / "copy").value() == digest);
  json config = SmallConfig();
  config["rms_norm_eps"] = 2e-5;
  Write(folder + "/config.json", config.dump(2));
  CHECK(FolderDigest(folder).value() != digest);
  CHECK_FALSE(FolderDigest(temp / "nowhere").ok());
  CHECK(TokenizerFiles(folder) == std::vector<std::string>{"tokenizer.json"});
}

}  // namespace
}  // namespace espalier::checkpoint
