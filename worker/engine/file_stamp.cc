#include "worker/engine/file_stamp.h"

#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "common/base/files.h"
#include "common/base/status_macros.h"

namespace espalier {

absl::StatusOr<std::string> FileStamp(const std::string& path) {
  struct stat info = {};
  if (::stat(path.c_str(), &info) != 0) return ErrnoStatus("cannot look at", path);
  return absl::StrCat(static_cast<int64_t>(info.st_size), "/", static_cast<int64_t>(info.st_mtim.tv_sec), ".",
                      static_cast<int64_t>(info.st_mtim.tv_nsec), "/", static_cast<uint64_t>(info.st_ino));
}

absl::StatusOr<std::string> FolderStamp(const std::string& folder) {
  std::error_code error;
  std::vector<std::string> names;
  for (auto entry = std::filesystem::directory_iterator(folder, error);
       !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
    std::error_code ignored;
    if (entry->is_regular_file(ignored)) names.push_back(entry->path().filename().string());
  }
  if (error) {
    const std::string message = absl::StrCat("cannot list model folder '", folder, "': ", error.message());
    if (error == std::errc::no_such_file_or_directory) return absl::NotFoundError(message);
    return absl::UnavailableError(message);
  }
  std::sort(names.begin(), names.end());
  std::string stamp;
  for (const std::string& name : names) {
    ESPALIER_ASSIGN_OR_RETURN(const std::string file_stamp, FileStamp(folder + "/" + name));
    absl::StrAppend(&stamp, name, "=", file_stamp, "\n");
  }
  return stamp;
}

absl::StatusOr<std::string> DigestCache::Get(const std::string& path, const std::string& stamp,
                                             const Compute& compute) {
  {
    std::lock_guard lock(mutex_);
    const auto found = by_path_.find(path);
    if (found != by_path_.end() && found->second.first == stamp) return found->second.second;
  }
  ESPALIER_ASSIGN_OR_RETURN(std::string digest, compute(path));
  std::lock_guard lock(mutex_);
  by_path_[path] = {stamp, digest};
  return digest;
}

}  // namespace espalier
