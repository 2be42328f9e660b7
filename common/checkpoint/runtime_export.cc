#include "common/checkpoint/runtime_export.h"

#include <filesystem>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/files.h"
#include "common/base/status_macros.h"
#include "common/checkpoint/modelling_files.h"
#include "common/checkpoint/runtime_config.h"
#include "common/checkpoint/strict_json.h"
#include "common/domain/runtime_fit.h"

namespace espalier::checkpoint {
namespace {

using nlohmann::json;

constexpr int64_t kMaxConfigBytes = 16'000'000;
constexpr int64_t kMaxShardBytes = 5'000'000'000;
constexpr char kProvenance[] = "espalier_provenance.json";

std::vector<TensorToWrite> TensorsOf(const ModelFolder& model) {
  std::vector<TensorToWrite> tensors;
  for (const auto& [name, info] : model.tensors()) tensors.push_back({name, info.dtype, info.shape, model.Bytes(name)});
  return tensors;
}

// Weights, tokenizer files and provenance; config.json and code are the caller's.
absl::Status AddRest(const ModelFolder& model, std::vector<ExportFile>* files) {
  for (ExportFile& file : WeightFiles(TensorsOf(model), kMaxShardBytes)) files->push_back(std::move(file));
  using NamedContents = std::vector<std::pair<std::string, std::string>>;
  ESPALIER_ASSIGN_OR_RETURN(const NamedContents copied, ReadCopiedFiles(model.path()));
  for (const auto& [name, content] : copied) files->push_back({name, content, {}});
  const std::string path = absl::StrCat(model.path(), "/", kProvenance);
  const absl::StatusOr<std::string> provenance = ReadFile(path, kMaxConfigBytes);
  if (provenance.ok()) files->push_back({kProvenance, *provenance, {}});
  return absl::OkStatus();
}

absl::StatusOr<json> ConfigOf(const ModelFolder& model) {
  const std::string path = model.path() + "/config.json";
  ESPALIER_ASSIGN_OR_RETURN(const std::string text, ReadFile(path, kMaxConfigBytes));
  return ParseStrictJson(text, path, 32);
}

}  // namespace

absl::StatusOr<std::vector<ExportFile>> MakeNemotronNasExport(const ModelFolder& model) {
  ESPALIER_RETURN_IF_ERROR(CheckRuntimeFits(model.config(), Runtime::kNemotronNas));
  ESPALIER_ASSIGN_OR_RETURN(const json config, ConfigOf(model));
  ESPALIER_ASSIGN_OR_RETURN(const json nemotron, NemotronNasConfig(config, model.config()));
  std::vector<ExportFile> files;
  files.push_back({"config.json", nemotron.dump(2) + "\n", {}});
  files.push_back({"configuration_decilm.py", kNemotronConfigurationPython, {}});
  ESPALIER_RETURN_IF_ERROR(AddRest(model, &files));
  return files;
}

absl::StatusOr<std::vector<ExportFile>> MakeAnyModelExport(const ModelFolder& model) {
  ESPALIER_RETURN_IF_ERROR(CheckRuntimeFits(model.config(), Runtime::kVllmAnyModel));
  ESPALIER_ASSIGN_OR_RETURN(const json config, ConfigOf(model));
  std::vector<ExportFile> files;
  files.push_back({"config.json", AnyModelConfig(config, model.config()).dump(2) + "\n", {}});
  ESPALIER_RETURN_IF_ERROR(AddRest(model, &files));
  return files;
}

absl::StatusOr<std::vector<ExportFile>> MakeHuggingFaceExport(const ModelFolder& model) {
  std::vector<ExportFile> files;
  for (const char* name : {"config.json", "configuration_espalier.py", "modeling_espalier.py"}) {
    absl::StatusOr<std::string> content = ReadFile(absl::StrCat(model.path(), "/", name), kMaxConfigBytes);
    if (absl::IsNotFound(content.status())) continue;  // a dense folder has no code of its own
    if (!content.ok()) return content.status();
    files.push_back({name, *std::move(content), {}});
  }
  ESPALIER_RETURN_IF_ERROR(AddRest(model, &files));
  return files;
}

}  // namespace espalier::checkpoint
