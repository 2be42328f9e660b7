// The files of an export: a pruned model as a Hugging Face folder that transformers loads with trust_remote_code.
//
// config.json is the dense model's with model_type "espalier", base_model_type (the family) and the sparse
// per_layer_config that transformers defines: string layer keys, only the values that differ (num_attention_heads,
// num_key_value_heads, intermediate_size), "skip" with "attention" and "mlp" for removed units, and query_to_kv, ours,
// where query heads do not share the kept KV heads evenly. A removed unit's tensors are left out, its norm too. Stock
// classes refuse the folder, because they would load it without an error and make up what is missing.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/checkpoint/safetensors.h"
#include "common/domain/model_config.h"

namespace espalier::checkpoint {

struct ExportInput {
  std::string dense_config_json;  // text of the dense folder's config.json
  ModelConfig dense;
  ModelConfig candidate;
  std::vector<TensorToWrite> tensors;  // exactly those of ExpectedTensors(candidate); the bytes must outlive the files
  std::string provenance_json;         // written as espalier_provenance.json; empty: no such file
  std::vector<std::pair<std::string, std::string>> copied_files;  // ReadCopiedFiles of the dense folder
  int64_t max_shard_bytes = 5'000'000'000;
};

// A file as pieces laid end to end, so that tensor bytes are not copied.
struct ExportFile {
  std::string name;
  std::string head;                    // owned bytes that come first
  std::vector<std::string_view> rest;  // views of the input's tensors
  int64_t num_bytes() const;
  std::vector<std::string_view> pieces() const;  // head and rest; valid while this object lives and does not move
  std::string Content() const;
};

// Pure: the same input gives the same bytes. kInvalidArgument names the tensor that is missing, unexpected, of another
// shape than the candidate's or not of one floating number format. The number format of the tensors becomes
// config.json's dtype.
absl::StatusOr<std::vector<ExportFile>> MakeExport(const ExportInput& input);

// Reads TokenizerFiles(folder): name and content.
absl::StatusOr<std::vector<std::pair<std::string, std::string>>> ReadCopiedFiles(const std::string& folder);

// Writes the files into a folder that is created; each appears whole or not at all.
absl::Status WriteExport(const std::string& folder, const std::vector<ExportFile>& files);

// model.safetensors, or shards of at most so many bytes (more for a single tensor) and their index.
std::vector<ExportFile> WeightFiles(const std::vector<TensorToWrite>& tensors, int64_t max_shard_bytes);

// config.json's text alone.
absl::StatusOr<std::string> ExportConfigJson(const std::string& dense_config_json, const ModelConfig& dense,
                                             const ModelConfig& candidate, NumberFormat format);

}  // namespace espalier::checkpoint
