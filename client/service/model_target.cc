#include "client/service/model_target.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "common/base/files.h"
#include "common/base/status_macros.h"

namespace espalier {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kMaxConfigBytes = int64_t{16} << 20;
constexpr char kGgufMagic[] = {'G', 'G', 'U', 'F'};

// By what lies there, not by how it is spelt: links, bind mounts, "..".
bool IsOrLiesIn(const fs::path& inner, const fs::path& outer) {
  std::error_code error;
  fs::path path = fs::weakly_canonical(inner, error);
  if (error) path = fs::absolute(inner, error).lexically_normal();
  while (true) {
    if (fs::equivalent(path, outer, error)) return true;
    if (!path.has_relative_path()) return false;
    path = path.parent_path();
  }
}

bool IsOurExport(const fs::path& folder) {
  const absl::StatusOr<std::string> config = ReadFile((folder / "config.json").string(), kMaxConfigBytes);
  if (!config.ok()) return false;
  const nlohmann::json json = nlohmann::json::parse(*config, nullptr, false);
  const auto type = json.is_object() ? json.find("model_type") : json.end();
  return type != json.end() && *type == "espalier";
}

}  // namespace

absl::Status CheckReplaceable(const std::string& folder) {
  std::error_code error;
  const fs::file_status status = fs::symlink_status(folder, error);
  if (!fs::exists(status)) return absl::OkStatus();
  if (fs::is_directory(folder, error) && (fs::is_empty(folder, error) || IsOurExport(folder))) return absl::OkStatus();
  return absl::AlreadyExistsError(absl::StrCat("--output: '", folder, "' exists and is no export of espalier, so that it is not ",
                                               "replaced; name another --output or move it away"));
}

absl::Status CheckApart(const std::string& folder, const std::string& model) {
  const bool is_inside = IsOrLiesIn(folder, model);
  const bool is_around = IsOrLiesIn(model, folder);
  if (!is_inside && !is_around) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("--output: the model would be written to '", folder, "', which ",
                                                 is_inside && is_around ? "is"
                                                 : is_inside            ? "lies inside"
                                                                        : "contains",
                                                 " the model folder '", model, "' that it is made from; name a folder apart from it"));
}

absl::Status CheckModelTarget(const std::string& folder, const std::string& model, const std::vector<std::string>& inputs) {
  if (!model.empty()) ESPALIER_RETURN_IF_ERROR(CheckApart(folder, model));
  for (const std::string& input : inputs) {
    if (input.empty() || !IsOrLiesIn(input, folder)) continue;
    return absl::InvalidArgumentError(absl::StrCat("--output: the model would be written to '", folder, "', where '", input,
                                                   "' lies, which is needed; name a folder apart from it"));
  }
  return CheckReplaceable(folder);
}

absl::Status CheckGgufTarget(const std::string& path) {
  std::error_code error;
  if (!fs::exists(path, error)) return absl::OkStatus();
  char first[sizeof(kGgufMagic)] = {};
  std::ifstream file(path, std::ios::binary);
  if (file.read(first, sizeof(first)) && std::equal(std::begin(first), std::end(first), kGgufMagic)) return absl::OkStatus();
  return absl::AlreadyExistsError(
      absl::StrCat("--output: '", path, "' exists and is no GGUF file, so that it is not replaced; name another file"));
}

}  // namespace espalier
