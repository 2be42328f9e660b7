#include <algorithm>
#include <filesystem>
#include <string>
#include <system_error>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/sha256.h"
#include "common/base/status_macros.h"
#include "common/checkpoint/model_folder.h"

namespace espalier::checkpoint {

absl::StatusOr<std::string> FolderDigest(const std::string& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (std::filesystem::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    const std::string name = it->path().filename().string();
    if (name == "config.json" || name == "model.safetensors.index.json" || absl::EndsWith(name, ".safetensors"))
      names.push_back(name);
  }
  if (error) return absl::NotFoundError(absl::StrCat("cannot read folder '", folder, "': ", error.message()));
  std::sort(names.begin(), names.end());
  Sha256 digest;
  digest.Update("espalier-model-folder-1\n");
  for (const std::string& name : names) {
    ESPALIER_ASSIGN_OR_RETURN(const std::string of_file, Sha256HexOfFile(folder + "/" + name));
    digest.Update(absl::StrCat(name.size(), ":", name, " ", of_file, "\n"));
  }
  return digest.FinishHex();
}

}  // namespace espalier::checkpoint
