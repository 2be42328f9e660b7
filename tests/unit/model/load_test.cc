#include "tests/support/catch.h"
// catch.h comes first: see there.
#include <cmath>
#include <fstream>
#include <limits>

#include "tests/support/temp_dir.h"
#include "tests/unit/model/model_fixtures.h"
#include "worker/model/language_model.h"

namespace espalier {
namespace {

using testing::TempDir;

constexpr char kConfigJson[] = R"({"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 61,
  "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
  "head_dim": 8, "max_position_embeddings": 64, "rms_norm_eps": 1e-6, "hidden_act": "silu", "rope_theta": 10000.0,
  "tie_word_embeddings": false, "torch_dtype": "float32"})";

// Writes the model as a Hugging Face folder, fp32 or bf16.
void WriteFolder(const LanguageModel& model, torch::ScalarType dtype, const std::string& folder) {
  std::vector<torch::Tensor> alive;
  std::vector<checkpoint::TensorToWrite> tensors;
  for (const auto& [name, tensor] : NamedTensors(model)) {
    alive.push_back(tensor.to(dtype).contiguous());
    checkpoint::TensorToWrite written;
    written.name = name;
    written.dtype = dtype == torch::kFloat32 ? checkpoint::Dtype::kFloat32 : checkpoint::Dtype::kBFloat16;
    written.shape = tensor.sizes().vec();
    written.bytes = {static_cast<const char*>(alive.back().const_data_ptr()), alive.back().nbytes()};
    tensors.push_back(written);
  }
  std::ofstream(folder + "/config.json") << kConfigJson;
  std::ofstream(folder + "/model.safetensors", std::ios::binary) << checkpoint::SerializeSafetensors(tensors, {});
}

absl::StatusOr<std::unique_ptr<LanguageModel>> Load(const std::string& folder, torch::ScalarType dtype) {
  auto opened = checkpoint::ModelFolder::Open(folder);
  if (!opened.ok()) return opened.status();
  return LoadLanguageModel(**opened, torch::kCPU, dtype);
}

}  // namespace

TEST_CASE("LoadLanguageModel: every tensor arrives under its name, in the dtype asked for") {
  const ModelConfig config = SmallConfig(2, 32, 4, 2, 8, 48, 61);
  const LanguageModel written = RandomLanguageModel(config, 31, torch::kCPU, torch::kFloat32);
  const TempDir folder;
  WriteFolder(written, torch::kFloat32, folder.path());
  const auto read = Load(folder.path(), torch::kFloat32);
  REQUIRE_OK(read);
  const auto expected = NamedTensors(written), actual = NamedTensors(**read);
  REQUIRE(actual.size() == expected.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    CHECK(actual[i].first == expected[i].first);
    CHECK(actual[i].second.equal(expected[i].second));
  }
  const bool same_layers = (*read)->config.layers == config.layers;
  CHECK(same_layers);
  const auto rounded = Load(folder.path(), torch::kBFloat16);
  REQUIRE_OK(rounded);
  CHECK((*rounded)->layers[1].ffn.up_weight.equal(written.layers[1].ffn.up_weight.to(torch::kBFloat16)));
}

TEST_CASE("LoadLanguageModel: a NaN or infinite weight is refused with its tensor's name") {
  LanguageModel model = RandomLanguageModel(SmallConfig(2, 32, 4, 2, 8, 48, 61), 33, torch::kCPU, torch::kFloat32);
  const float bad = GENERATE(std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity());
  model.layers[1].ffn.down_weight[3][5] = bad;
  const TempDir folder;
  WriteFolder(model, torch::kFloat32, folder.path());
  const absl::Status status = Load(folder.path(), torch::kFloat32).status();
  CHECK(status.code() == absl::StatusCode::kInvalidArgument);
  CHECK_THAT(std::string(status.message()), Catch::Contains("model.layers.1.mlp.down_proj.weight") && Catch::Contains("NaN"));
}

}  // namespace espalier
