#include "common/checkpoint/model_folder.h"

#include <algorithm>
#include <filesystem>
#include <set>
#include <system_error>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/check.h"
#include "common/base/files.h"
#include "common/base/status_macros.h"
#include "common/checkpoint/strict_json.h"

namespace espalier::checkpoint {
namespace {

constexpr char kSingleFile[] = "model.safetensors";
constexpr char kIndexFile[] = "model.safetensors.index.json";
constexpr int64_t kMaxIndexBytes = 64'000'000;

bool Exists(const std::string& path) {
  std::error_code ignored;
  return std::filesystem::exists(path, ignored);
}

// Names of the folder's entries, sorted.
std::vector<std::string> ListFiles(const std::string& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (std::filesystem::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    names.push_back(it->path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

absl::Status NoWeights(const std::string& folder) {
  for (const std::string& name : ListFiles(folder)) {
    for (const char* ending : {".bin", ".pt", ".pth", ".ckpt", ".pkl", ".gguf", ".h5", ".msgpack"}) {
      if (absl::EndsWith(name, ending)) {
        return absl::InvalidArgumentError(absl::StrCat(
            "'", folder, "' has weights as '", name, "' only; safetensors are needed (model.safetensors, or ",
            kIndexFile, " with its shards), because loading a pickle can run code"));
      }
    }
  }
  return absl::NotFoundError(absl::StrCat("'", folder, "' has neither ", kSingleFile, " nor ", kIndexFile));
}

// Which shard holds which tensor. Names must stay inside of the folder.
absl::StatusOr<std::map<std::string, std::string>> ReadIndex(const std::string& path) {
  ESPALIER_ASSIGN_OR_RETURN(const std::string text, ReadFile(path, kMaxIndexBytes));
  ESPALIER_ASSIGN_OR_RETURN(const nlohmann::json index, ParseStrictJson(text, path, 8));
  const auto map = index.is_object() ? index.find("weight_map") : index.end();
  if (map == index.end() || !map->is_object() || map->empty())
    return absl::InvalidArgumentError(absl::StrCat("'", path, "': 'weight_map' is missing or empty"));
  std::map<std::string, std::string> shards;
  for (const auto& [tensor, value] : map->items()) {
    const std::string file = value.is_string() ? value.get<std::string>() : std::string();
    const bool plain =
        !file.empty() && file.front() != '.' && file.find_first_of(std::string("/\\\0", 3)) == std::string::npos;
    if (!plain || !absl::EndsWith(file, ".safetensors")) {
      return absl::InvalidArgumentError(absl::StrCat("'", path, "': tensor '", tensor, "' lies in ", ShortText(value),
                                                     ", which is no plain name of a .safetensors file in the folder"));
    }
    shards[tensor] = file;
  }
  return shards;
}

bool IsIgnored(const std::string& tensor, const ModelConfig& config) {
  return absl::EndsWith(tensor, "rotary_emb.inv_freq") || (tensor == "lm_head.weight" && config.tied_embeddings);
}

class OpenFolder final : public ModelFolder {
 public:
  OpenFolder(std::string path, ModelConfig config) : path_(std::move(path)), config_(std::move(config)) {}

  const std::string& path() const override { return path_; }
  const ModelConfig& config() const override { return config_; }
  const std::map<std::string, TensorInfo>& tensors() const override { return tensors_; }
  std::string_view Bytes(const std::string& tensor) const override {
    const auto info = tensors_.find(tensor);
    ESPALIER_CHECK(info != tensors_.end());
    return files_.at(file_of_.at(tensor))->Bytes(info->second);
  }
  std::string FileOf(const std::string& tensor) const override {
    const auto file = file_of_.find(tensor);
    return file == file_of_.end() ? std::string() : path_ + "/" + file->second;
  }

  absl::Status Load() {
    if (Exists(path_ + "/" + kSingleFile)) {
      ESPALIER_RETURN_IF_ERROR(AddFile(kSingleFile, nullptr));
    } else if (const std::string index_path = path_ + "/" + kIndexFile; Exists(index_path)) {
      using Index = std::map<std::string, std::string>;
      ESPALIER_ASSIGN_OR_RETURN(const Index index, ReadIndex(index_path));
      std::set<std::string> shards;
      for (const auto& [tensor, file] : index) shards.insert(file);
      for (const std::string& file : shards) ESPALIER_RETURN_IF_ERROR(AddFile(file, &index));
      for (const auto& [tensor, file] : index) {
        if (file_of_.contains(tensor) || IsIgnored(tensor, config_)) continue;
        return absl::InvalidArgumentError(
            absl::StrCat("'", index_path, "': tensor '", tensor, "' is not in '", file, "'"));
      }
    } else {
      return NoWeights(path_);
    }
    return CheckAgainstConfig();
  }

 private:
  absl::Status AddFile(const std::string& name, const std::map<std::string, std::string>* index) {
    ESPALIER_ASSIGN_OR_RETURN(std::unique_ptr<SafetensorsFile> file, SafetensorsFile::Open(path_ + "/" + name));
    for (const auto& [tensor, info] : file->tensors()) {
      if (IsIgnored(tensor, config_)) continue;
      if (index != nullptr) {
        const auto entry = index->find(tensor);
        if (entry == index->end() || entry->second != name) {
          return absl::InvalidArgumentError(
              absl::StrCat("'", file->path(), "': tensor '", tensor, "' is here, but ", kIndexFile, " ",
                           entry == index->end() ? "does not name it" : "names '" + entry->second + "'"));
        }
      }
      tensors_[tensor] = info;
      file_of_[tensor] = name;
    }
    files_[name] = std::move(file);
    return absl::OkStatus();
  }

  absl::Status CheckAgainstConfig() {
    const std::map<std::string, std::vector<int64_t>> expected = ExpectedTensors(config_);
    for (const auto& [tensor, shape] : expected) {
      const auto found = tensors_.find(tensor);
      if (found == tensors_.end())
        return absl::InvalidArgumentError(absl::StrCat("'", path_, "': tensor '", tensor, "' is missing"));
      const TensorInfo& info = found->second;
      if (info.shape != shape) {
        return absl::InvalidArgumentError(absl::StrCat("'", FileOf(tensor), "': tensor '", tensor, "' has shape [",
                                                       absl::StrJoin(info.shape, ", "), "], config.json calls for [",
                                                       absl::StrJoin(shape, ", "), "]"));
      }
      if (info.dtype != Dtype::kFloat32 && info.dtype != Dtype::kFloat16 && info.dtype != Dtype::kBFloat16) {
        return absl::InvalidArgumentError(absl::StrCat("'", FileOf(tensor), "': tensor '", tensor, "' has dtype ",
                                                       Name(info.dtype), "; weights are F32, F16 or BF16"));
      }
    }
    for (const auto& [tensor, info] : tensors_) {
      if (!expected.contains(tensor)) {
        return absl::InvalidArgumentError(absl::StrCat("'", FileOf(tensor), "': tensor '", tensor,
                                                       "' does not belong to the model that config.json describes"));
      }
    }
    // config.json may be silent or wrong about the number format; the embedding's is the checkpoint's.
    const Dtype stored = tensors_.at("model.embed_tokens.weight").dtype;
    config_.number_format = stored == Dtype::kFloat32   ? NumberFormat::kFloat32
                            : stored == Dtype::kFloat16 ? NumberFormat::kFloat16
                                                        : NumberFormat::kBFloat16;
    return absl::OkStatus();
  }

  std::string path_;
  ModelConfig config_;
  std::map<std::string, std::unique_ptr<SafetensorsFile>> files_;
  std::map<std::string, TensorInfo> tensors_;
  std::map<std::string, std::string> file_of_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<ModelFolder>> ModelFolder::Open(const std::string& folder) {
  ESPALIER_ASSIGN_OR_RETURN(ModelConfig config, ReadModelConfig(folder));
  auto result = std::make_unique<OpenFolder>(folder, std::move(config));
  ESPALIER_RETURN_IF_ERROR(result->Load());
  return result;
}

std::vector<std::string> TokenizerFiles(const std::string& folder) {
  static const std::set<std::string> known = {
      "added_tokens.json", "chat_template.jinja",     "chat_template.json",    "generation_config.json",
      "merges.txt",        "special_tokens_map.json", "spiece.model",          "tekken.json",
      "tokenizer.json",    "tokenizer.model",         "tokenizer_config.json", "vocab.json",
      "vocab.txt"};
  std::vector<std::string> files;
  for (const std::string& name : ListFiles(folder)) {
    if (known.contains(name)) files.push_back(name);
  }
  return files;
}

}  // namespace espalier::checkpoint
