// Small model folders for tests: a config, and tensors that fit it.
#pragma once

#include <deque>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "common/base/files.h"
#include "common/checkpoint/model_folder.h"
#include "common/checkpoint/safetensors.h"
#include "tests/support/catch.h"

namespace espalier::checkpoint::testing {

inline nlohmann::json SmallConfig() {
  return {{"architectures", {"LlamaForCausalLM"}},
          {"model_type", "llama"},
          {"vocab_size", 40},
          {"hidden_size", 16},
          {"intermediate_size", 24},
          {"num_hidden_layers", 2},
          {"num_attention_heads", 4},
          {"num_key_value_heads", 2},
          {"max_position_embeddings", 64},
          {"rms_norm_eps", 1e-5},
          {"tie_word_embeddings", false},
          {"dtype", "float32"}};
}

// Tensors with owned bytes; the values differ from tensor to tensor.
struct OwnedTensors {
  std::vector<TensorToWrite> tensors;
  std::deque<std::string> bytes;
};

inline void AddTensor(OwnedTensors* owned, const std::string& name, Dtype dtype, const std::vector<int64_t>& shape) {
  int64_t size = BytesOf(dtype);
  for (const int64_t dimension : shape) size *= dimension;
  owned->bytes.emplace_back(static_cast<size_t>(size), static_cast<char>(owned->bytes.size() % 50));
  owned->tensors.push_back({name, dtype, shape, owned->bytes.back()});
}

inline OwnedTensors TensorsOf(const ModelConfig& config, Dtype dtype) {
  OwnedTensors owned;
  for (const auto& [name, shape] : ExpectedTensors(config)) AddTensor(&owned, name, dtype, shape);
  return owned;
}

inline ModelConfig Parse(const nlohmann::json& config) {
  auto parsed = ParseModelConfig(config.dump(), "config.json");
  REQUIRE_OK(parsed);
  return *std::move(parsed);
}

inline void Write(const std::string& path, const std::string& content) {
  REQUIRE_OK(WriteFileAtomically(path, content));
}

inline void WriteFolder(const std::string& folder, const nlohmann::json& config,
                        const std::vector<TensorToWrite>& tensors) {
  REQUIRE_OK(CreateFolders(folder));
  Write(folder + "/config.json", config.dump(2));
  Write(folder + "/model.safetensors", SerializeSafetensors(tensors, {{"format", "pt"}}));
}

inline void RequireMessage(const absl::Status& status, const std::vector<std::string>& parts) {
  const std::string message(status.message());
  INFO(message);
  REQUIRE_FALSE(status.ok());
  for (const std::string& part : parts) {
    INFO("should name: " << part);
    CHECK(message.find(part) != std::string::npos);
  }
  CHECK(message.find('\n') == std::string::npos);
}

}  // namespace espalier::checkpoint::testing
