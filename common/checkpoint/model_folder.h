// A Hugging Face model folder: config.json, and one safetensors file or an index with shards.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/checkpoint/safetensors.h"
#include "common/domain/model_config.h"

namespace espalier::checkpoint {

// Reads and checks config.json: dense Llama 1-3, Mistral, Qwen2/2.5, Qwen3 and our own exports (model_type "espalier",
// per_layer_config). What changes the arithmetic and is not supported is refused by name with its value.
absl::StatusOr<ModelConfig> ReadModelConfig(const std::string& folder);
absl::StatusOr<ModelConfig> ParseModelConfig(const std::string& json_text, const std::string& name);

// All tensors of the folder by Hugging Face name, checked against the config: every expected tensor present with the
// expected shape and a floating dtype, none unexpected (rotary inv_freq buffers are ignored; lm_head.weight beside tied
// embeddings is ignored). The config's number_format is that of the stored embedding, whatever config.json says.
class ModelFolder {
 public:
  static absl::StatusOr<std::unique_ptr<ModelFolder>> Open(const std::string& folder);
  virtual ~ModelFolder() = default;
  virtual const std::string& path() const = 0;
  virtual const ModelConfig& config() const = 0;
  virtual const std::map<std::string, TensorInfo>& tensors() const = 0;
  virtual std::string_view Bytes(const std::string& tensor) const = 0;
  // The file that holds the tensor, for messages.
  virtual std::string FileOf(const std::string& tensor) const = 0;
};

// The names and shapes that a config calls for, e.g. "model.layers.0.self_attn.q_proj.weight" -> {192, 192}.
std::map<std::string, std::vector<int64_t>> ExpectedTensors(const ModelConfig& config);

// SHA-256 over the sorted names and SHA-256 of config.json, the index and every safetensors file of the folder.
absl::StatusOr<std::string> FolderDigest(const std::string& folder);

// Files that an export copies as they are, by name: tokenizer files, generation_config.json, chat template.
std::vector<std::string> TokenizerFiles(const std::string& folder);

}  // namespace espalier::checkpoint
