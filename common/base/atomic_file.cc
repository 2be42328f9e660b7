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
  Descriptor file;
  do {
    path = absl::StrCat(temporary, ".tmp-", ::getpid(), "-", counter.fetch_add(1));
    file = Descriptor(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
  } while (!file.is_open() && errno == EEXIST);
  if (!file.is_open()) return ErrnoStatus("cannot create", path);
  return std::unique_ptr<AtomicFile>(new AtomicFile(std::move(file), path));
}

AtomicFile::~AtomicFile() {
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

absl::Status AtomicFile::Append(std::string_view bytes) { return WriteAll(file_, bytes, temporary_); }

absl::Status AtomicFile::Commit(const std::string& path) {
  if (::fsync(file_.get()) != 0) return ErrnoStatus("cannot sync", temporary_);
  if (file_.Close() != 0) return ErrnoStatus("cannot close", temporary_);
  if (::rename(temporary_.c_str(), path.c_str()) != 0) return ErrnoStatus("cannot rename to", path);
  temporary_.clear();
  const std::string parent = std::filesystem::path(path).parent_path().string();
  const std::string name = parent.empty() ? "." : parent;
  const Descriptor folder(::open(name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder.is_open()) return ErrnoStatus("cannot open folder", name);
  return ::fsync(folder.get()) == 0 ? absl::OkStatus() : ErrnoStatus("cannot sync folder", name);
}

absl::Status WritePiecesAtomically(const std::string& path, const std::vector<std::string_view>& pieces) {
  ESPALIER_ASSIGN_OR_RETURN(std::unique_ptr<AtomicFile> file, AtomicFile::Create(path));
  for (const std::string_view piece : pieces) ESPALIER_RETURN_IF_ERROR(file->Append(piece));
  return file->Commit(path);
}

}  // namespace espalier
