// Writes an export from Python's tensors: write_export DENSE_FOLDER LAYERS.json TENSORS.safetensors OUT
// LAYERS.json: a list of {"head_to_kv": [...], "num_kv_heads": n, "ffn_width": n}.
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/status/status.h"
#include "common/base/files.h"
#include "common/base/status_macros.h"
#include "common/checkpoint/export_folder.h"
#include "common/checkpoint/model_folder.h"
#include "common/checkpoint/safetensors.h"

namespace espalier::checkpoint {
namespace {

absl::Status Write(const std::string& dense_folder, const std::string& layers_path, const std::string& tensors_path,
                   const std::string& output) {
  ExportInput input;
  ESPALIER_ASSIGN_OR_RETURN(input.dense, ReadModelConfig(dense_folder));
  ESPALIER_ASSIGN_OR_RETURN(input.dense_config_json, ReadFile(dense_folder + "/config.json", 1'000'000));
  ESPALIER_ASSIGN_OR_RETURN(const std::string layers, ReadFile(layers_path, 1'000'000));
  ESPALIER_ASSIGN_OR_RETURN(std::unique_ptr<SafetensorsFile> tensors, SafetensorsFile::Open(tensors_path));
  input.candidate = input.dense;
  input.candidate.layers.clear();
  for (const auto& layer : nlohmann::json::parse(layers)) {
    input.candidate.layers.push_back(
        {layer["head_to_kv"].get<std::vector<int>>(), layer["num_kv_heads"].get<int>(), layer["ffn_width"].get<int>()});
  }
  for (const auto& [name, info] : tensors->tensors())
    input.tensors.push_back({name, info.dtype, info.shape, tensors->Bytes(info)});
  input.provenance_json = R"({"made_by": "write_export"})";
  ESPALIER_ASSIGN_OR_RETURN(input.copied_files, ReadCopiedFiles(dense_folder));
  ESPALIER_ASSIGN_OR_RETURN(const std::vector<ExportFile> files, MakeExport(input));
  ESPALIER_RETURN_IF_ERROR(WriteExport(output, files));
  ESPALIER_ASSIGN_OR_RETURN(std::unique_ptr<ModelFolder> read, ModelFolder::Open(output));
  input.candidate.number_format = read->config().number_format;
  if (!(read->config() == input.candidate)) return absl::InternalError("the export read back is not the candidate");
  std::printf("%lld\n", static_cast<long long>(CountParameters(read->config())));
  return absl::OkStatus();
}

}  // namespace
}  // namespace espalier::checkpoint

int main(int argc, char** argv) {
  if (argc != 5) {
    std::fprintf(stderr, "usage: write_export DENSE_FOLDER LAYERS.json TENSORS.safetensors OUT\n");
    return 2;
  }
  const absl::Status status = espalier::checkpoint::Write(argv[1], argv[2], argv[3], argv[4]);
  if (status.ok()) return 0;
  std::fprintf(stderr, "write_export: %s\n", std::string(status.message()).c_str());
  return 1;
}
