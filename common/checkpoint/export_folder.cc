#include "common/checkpoint/export_folder.h"

#include <nlohmann/json.hpp>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "common/base/atomic_file.h"
#include "common/base/files.h"
#include "common/base/status_macros.h"
#include "common/checkpoint/model_folder.h"
#include "common/checkpoint/modelling_files.h"
#include "common/checkpoint/strict_json.h"

namespace espalier::checkpoint {
namespace {

using nlohmann::json;
using Shard = std::vector<TensorToWrite>;

constexpr int64_t kMaxCopiedBytes = 200'000'000;

absl::Status Refuse(const std::string& tensor, const std::string& what) {
  return absl::InvalidArgumentError(absl::StrCat("export: tensor '", tensor, "' ", what));
}

absl::StatusOr<NumberFormat> FormatOf(const TensorToWrite& tensor) {
  switch (tensor.dtype) {
    case Dtype::kFloat32:
      return NumberFormat::kFloat32;
    case Dtype::kFloat16:
      return NumberFormat::kFloat16;
    case Dtype::kBFloat16:
      return NumberFormat::kBFloat16;
    default:
      return Refuse(tensor.name,
                    absl::StrCat("has dtype ", Name(tensor.dtype), ", which is no number format of weights"));
  }
}

// Exactly the candidate's tensors, all of one number format.
absl::StatusOr<NumberFormat> CheckTensors(const ExportInput& input) {
  std::map<std::string, std::vector<int64_t>> expected = ExpectedTensors(input.candidate);
  if (input.tensors.empty()) return absl::InvalidArgumentError("export: there are no tensors");
  ESPALIER_ASSIGN_OR_RETURN(const NumberFormat format, FormatOf(input.tensors.front()));
  for (const TensorToWrite& tensor : input.tensors) {
    const auto found = expected.find(tensor.name);
    if (found == expected.end()) return Refuse(tensor.name, "does not belong to the candidate, or stands twice");
    if (found->second != tensor.shape) {
      return Refuse(tensor.name, absl::StrCat("has shape [", absl::StrJoin(tensor.shape, ", "),
                                              "], the candidate calls for [", absl::StrJoin(found->second, ", "), "]"));
    }
    ESPALIER_ASSIGN_OR_RETURN(const NumberFormat other, FormatOf(tensor));
    if (other != format) return Refuse(tensor.name, absl::StrCat("is ", Name(other), ", others are ", Name(format)));
    int64_t bytes = BytesOf(tensor.dtype);
    for (const int64_t size : tensor.shape) bytes *= size;
    if (static_cast<int64_t>(tensor.bytes.size()) != bytes)
      return Refuse(tensor.name, absl::StrCat("has ", tensor.bytes.size(), " bytes, its shape takes ", bytes));
    expected.erase(found);
  }
  if (!expected.empty()) return Refuse(expected.begin()->first, "is missing");
  return format;
}

std::vector<Shard> SplitIntoShards(const std::vector<TensorToWrite>& tensors, int64_t max_bytes) {
  std::vector<Shard> shards(1);
  int64_t bytes = 0;
  for (const TensorToWrite& tensor : tensors) {
    const int64_t size = static_cast<int64_t>(tensor.bytes.size());
    if (!shards.back().empty() && bytes + size > max_bytes) {
      shards.emplace_back();
      bytes = 0;
    }
    shards.back().push_back(tensor);
    bytes += size;
  }
  return shards;
}

ExportFile WeightsFile(const std::string& name, const Shard& shard) {
  ExportFile file{name, SafetensorsHeader(shard, {{"format", "pt"}}), {}};
  for (const TensorToWrite& tensor : shard) file.rest.push_back(tensor.bytes);
  return file;
}

}  // namespace

std::vector<ExportFile> WeightFiles(const std::vector<TensorToWrite>& tensors, int64_t max_shard_bytes) {
  const std::vector<Shard> shards = SplitIntoShards(tensors, max_shard_bytes);
  if (shards.size() == 1) return {WeightsFile("model.safetensors", shards.front())};
  std::vector<ExportFile> files;
  json weight_map = json::object();
  int64_t bytes = 0, parameters = 0;
  for (size_t i = 0; i < shards.size(); ++i) {
    const std::string name = absl::StrFormat("model-%05d-of-%05d.safetensors", i + 1, shards.size());
    for (const TensorToWrite& tensor : shards[i]) {
      weight_map[tensor.name] = name;
      bytes += static_cast<int64_t>(tensor.bytes.size());
      parameters += static_cast<int64_t>(tensor.bytes.size()) / BytesOf(tensor.dtype);
    }
    files.push_back(WeightsFile(name, shards[i]));
  }
  const json index = {{"metadata", {{"total_parameters", parameters}, {"total_size", bytes}}},
                      {"weight_map", weight_map}};
  files.push_back({"model.safetensors.index.json", index.dump(2) + "\n", {}});
  return files;
}

int64_t ExportFile::num_bytes() const {
  int64_t bytes = static_cast<int64_t>(head.size());
  for (const std::string_view piece : rest) bytes += static_cast<int64_t>(piece.size());
  return bytes;
}

std::vector<std::string_view> ExportFile::pieces() const {
  std::vector<std::string_view> result = {head};
  result.insert(result.end(), rest.begin(), rest.end());
  return result;
}

std::string ExportFile::Content() const {
  std::string content;
  content.reserve(static_cast<size_t>(num_bytes()));
  for (const std::string_view piece : pieces()) content.append(piece);
  return content;
}

absl::StatusOr<std::vector<ExportFile>> MakeExport(const ExportInput& input) {
  ESPALIER_ASSIGN_OR_RETURN(const NumberFormat format, CheckTensors(input));
  ESPALIER_ASSIGN_OR_RETURN(std::string config,
                            ExportConfigJson(input.dense_config_json, input.dense, input.candidate, format));
  std::vector<ExportFile> files;
  files.push_back({"config.json", std::move(config), {}});
  files.push_back({"configuration_espalier.py", kConfigurationPython, {}});
  files.push_back({"modeling_espalier.py", kModelingPython, {}});
  for (ExportFile& file : WeightFiles(input.tensors, input.max_shard_bytes)) files.push_back(std::move(file));
  if (!input.provenance_json.empty()) {
    ESPALIER_ASSIGN_OR_RETURN(const json provenance, ParseStrictJson(input.provenance_json, "provenance", 64));
    files.push_back({"espalier_provenance.json", provenance.dump(2) + "\n", {}});
  }
  std::set<std::string> names;
  for (const ExportFile& file : files) names.insert(file.name);
  for (const auto& [name, content] : input.copied_files) {
    if (!names.insert(name).second)
      return absl::InvalidArgumentError(absl::StrCat("export: the copied file '", name, "' has the name of another"));
    files.push_back({name, content, {}});
  }
  return files;
}

absl::StatusOr<std::vector<std::pair<std::string, std::string>>> ReadCopiedFiles(const std::string& folder) {
  std::vector<std::pair<std::string, std::string>> files;
  for (const std::string& name : TokenizerFiles(folder)) {
    ESPALIER_ASSIGN_OR_RETURN(std::string content, ReadFile(folder + "/" + name, kMaxCopiedBytes));
    files.emplace_back(name, std::move(content));
  }
  return files;
}

absl::Status WriteExport(const std::string& folder, const std::vector<ExportFile>& files) {
  ESPALIER_RETURN_IF_ERROR(CreateFolders(folder));
  for (const ExportFile& file : files)
    ESPALIER_RETURN_IF_ERROR(WritePiecesAtomically(folder + "/" + file.name, file.pieces()));
  return absl::OkStatus();
}

}  // namespace espalier::checkpoint
