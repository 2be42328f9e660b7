#include "common/base/files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "common/base/atomic_file.h"
#include "common/base/descriptor.h"
#include "common/base/strings.h"

namespace espalier {
absl::Status ErrnoStatus(std::string_view what, const std::string& path) {
  const int error = errno;
  const std::string message = absl::StrCat(ToAbsl(what), " '", path, "': ", std::strerror(error));
  switch (error) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
      return absl::ResourceExhaustedError(message);
    case ENOENT:
      return absl::NotFoundError(message);
    case EACCES:
    case EPERM:
    case EROFS:
      return absl::PermissionDeniedError(message);
    default:
      return absl::UnavailableError(message);
  }
}

absl::StatusOr<std::string> ReadFile(const std::string& path, int64_t max_bytes) {
  // Opened without blocking, because a named pipe would wait for somebody who writes; read as usual.
  const Descriptor descriptor(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!descriptor.is_open()) return ErrnoStatus("cannot open", path);
  ::fcntl(descriptor.get(), F_SETFL, ::fcntl(descriptor.get(), F_GETFL) & ~O_NONBLOCK);
  struct stat info;
  if (::fstat(descriptor.get(), &info) != 0) return ErrnoStatus("cannot stat", path);
  if (S_ISDIR(info.st_mode)) return absl::InvalidArgumentError(absl::StrCat("'", path, "' is a folder, not a file"));
  std::string content;
  char buffer[1 << 16];
  while (true) {
    const ssize_t count = ::read(descriptor.get(), buffer, sizeof(buffer));
    if (count < 0) {
      if (errno == EINTR) continue;
      return ErrnoStatus("cannot read", path);
    }
    if (count == 0) return content;
    content.append(buffer, static_cast<size_t>(count));
    if (static_cast<int64_t>(content.size()) > max_bytes) {
      return absl::InvalidArgumentError(absl::StrCat("'", path, "' is larger than the limit of ", max_bytes, " bytes"));
    }
  }
}

absl::Status WriteFileAtomically(const std::string& path, std::string_view content) {
  return WritePiecesAtomically(path, {content});
}

absl::Status CreateFolders(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) {
    errno = error.value();
    return ErrnoStatus("cannot create folder", path);
  }
  return absl::OkStatus();
}

}  // namespace espalier
