// Files that only their owner may read: tokens and private keys.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace espalier {

// kPermissionDenied unless the file is a regular one that belongs to this user with a mode within 0600, or to root with
// a mode within 0640 (the way in which clusters mount secrets for programs that do not run as root). kNotFound when it
// is missing. The message names the path and the remedy, never the content.
absl::Status CheckSecretFile(const std::string& path);

// The content after the same check, made on the open file.
absl::StatusOr<std::string> ReadSecretFile(const std::string& path, int64_t max_bytes);

// What changes when a file is written or replaced. Missing files have a stamp too.
struct FileStamp {
  uint64_t device = 0;
  uint64_t inode = 0;
  int64_t size = -1;
  int64_t modified_ns = 0;
  int64_t changed_ns = 0;  // status change: also of mode and owner
  bool operator==(const FileStamp&) const = default;
};
FileStamp StampOf(const std::string& path);

// Creates the folder with mode 0700, and its parents as usual. One that is there already keeps its mode; the answer says
// whether others can look into it.
absl::StatusOr<bool> CreatePrivateFolder(const std::string& path);

// A random token: 64 hexadecimal digits of 32 bytes from the system.
absl::StatusOr<std::string> NewToken();

// Reads the one token that the file holds, or makes a random one and writes it with mode 0600 when there is no such
// file. kInvalidArgument when it is shorter than 16 characters or has blanks inside.
absl::StatusOr<std::string> ReadOrMakeToken(const std::string& path);
absl::StatusOr<std::string> ReadToken(const std::string& path);

}  // namespace espalier
