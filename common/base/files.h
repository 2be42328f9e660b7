// Whole-file reading and atomic writing. Errors name the path and the system's reason.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace espalier {

// kNotFound when missing, kInvalidArgument when larger than max_bytes, kUnavailable when it cannot be read.
absl::StatusOr<std::string> ReadFile(const std::string& path, int64_t max_bytes);

// Writes beside the target, syncs, renames, syncs the folder: a reader sees the old content or all of the new one.
// kResourceExhausted when the disk is full; nothing is left behind on failure.
absl::Status WriteFileAtomically(const std::string& path, std::string_view content);

// Creates the folder and its parents.
absl::Status CreateFolders(const std::string& path);

// Status for the current errno: kResourceExhausted for ENOSPC, EDQUOT and EFBIG, kNotFound for ENOENT, kPermissionDenied for
// EACCES, else kUnavailable. The message reads "<what> '<path>': <reason>".
absl::Status ErrnoStatus(std::string_view what, const std::string& path);

}  // namespace espalier
