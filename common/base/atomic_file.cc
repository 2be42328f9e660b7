#include "common/base/atomic_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "common/base/files.h"
#include "common/base/status_macros.h"

namespace espalier {

absl::StatusOr<std::unique_ptr<AtomicFile>> AtomicFile::Create(const std::string& temporary) {
  static std::atomic<uint64_t> counter{0};
  // On a shared file system another machine may have a process of this number (in containers most have number 1).
  std::string path;
  int fd = -1;
  do {
    path = absl::StrCat(temporary, ".tmp-", ::getpid(), "-", counter.fetch_add(1));
    fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  } while (fd < 0 && errno == EEXIST);
  if (fd < 0) return ErrnoStatus("cannot create", path);
  return std::unique_ptr<AtomicFile>(new AtomicFile(fd, path));
}

AtomicFile::~AtomicFile() {
  if (fd_ >= 0) ::close(fd_);
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

absl::Status AtomicFile::Append(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd_, bytes.data(), bytes.size());
    if (written < 0) {
      if (errno == EINTR) continue;
      return ErrnoStatus("cannot write", temporary_);
    }
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  return absl::OkStatus();
}

absl::Status AtomicFile::Commit(const std::string& path) {
  if (::fsync(fd_) != 0) return ErrnoStatus("cannot sync", temporary_);
  const int closed = ::close(fd_);
  fd_ = -1;
  if (closed != 0) return ErrnoStatus("cannot close", temporary_);
  if (::rename(temporary_.c_str(), path.c_str()) != 0) return ErrnoStatus("cannot rename to", path);
  temporary_.clear();
  const std::string parent = std::filesystem::path(path).parent_path().string();
  const std::string folder = parent.empty() ? "." : parent;
  const int folder_fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder_fd < 0) return ErrnoStatus("cannot open folder", folder);
  const bool synced = ::fsync(folder_fd) == 0;
  const absl::Status status = synced ? absl::OkStatus() : ErrnoStatus("cannot sync folder", folder);
  ::close(folder_fd);
  return status;
}

absl::Status WritePiecesAtomically(const std::string& path, const std::vector<std::string_view>& pieces) {
  ESPALIER_ASSIGN_OR_RETURN(std::unique_ptr<AtomicFile> file, AtomicFile::Create(path));
  for (const std::string_view piece : pieces) ESPALIER_RETURN_IF_ERROR(file->Append(piece));
  return file->Commit(path);
}

}  // namespace espalier
