// Cheap identity of files on disk, so that digests of large files are computed once and again only after a change.
#pragma once

#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace espalier {

// Size, modification time and inode as text; kNotFound or kUnavailable with the path when it cannot be looked at.
absl::StatusOr<std::string> FileStamp(const std::string& path);

// The stamps of every regular file directly in the folder, sorted by name.
absl::StatusOr<std::string> FolderStamp(const std::string& folder);

// Remembers a digest by (path, stamp). Thread-safe; two callers may compute the same digest at once.
class DigestCache {
 public:
  using Compute = std::function<absl::StatusOr<std::string>(const std::string& path)>;
  absl::StatusOr<std::string> Get(const std::string& path, const std::string& stamp, const Compute& compute);

 private:
  std::mutex mutex_;
  std::map<std::string, std::pair<std::string, std::string>> by_path_;  // path -> (stamp, digest)
};

}  // namespace espalier
