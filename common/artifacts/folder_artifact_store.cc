#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "common/artifacts/artifact_names.h"
#include "common/artifacts/artifact_store.h"
#include "common/base/atomic_file.h"
#include "common/base/descriptor.h"
#include "common/base/files.h"
#include "common/base/sha256.h"
#include "common/base/status_macros.h"

namespace espalier {
namespace {

constexpr int64_t kMaxNameValueBytes = 16'000'000;
constexpr size_t kCopyBytes = 1 << 20;
// A writer that died leaves its temporary file; a live one touches its own far more often than this.
constexpr std::chrono::hours kAbandonedAfter{24};

Descriptor OpenToRead(const std::string& path) { return Descriptor(::open(path.c_str(), O_RDONLY | O_CLOEXEC)); }

absl::StatusOr<int64_t> SizeOf(const Descriptor& file, const std::string& path) {
  struct stat info;
  if (::fstat(file.get(), &info) != 0) return ErrnoStatus("cannot stat", path);
  return static_cast<int64_t>(info.st_size);
}

// Reads up to `length` bytes at `offset`; fewer only at the end of the file.
absl::StatusOr<std::string> ReadAt(const Descriptor& file, const std::string& path, int64_t offset, int64_t length) {
  std::string content(static_cast<size_t>(length), '\0');
  size_t done = 0;
  while (done < content.size()) {
    const ssize_t count = ::pread(file.get(), content.data() + done, content.size() - done,
                                  static_cast<off_t>(offset) + static_cast<off_t>(done));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return ErrnoStatus("cannot read", path);
    if (count == 0) break;
    done += static_cast<size_t>(count);
  }
  content.resize(done);
  return content;
}

// When the file was last written or touched; kNotFound when it has gone.
absl::StatusOr<absl::Time> FolderArtifactTime(const std::string& path) {
  struct stat info;
  if (::stat(path.c_str(), &info) != 0) return ErrnoStatus("cannot stat", path);
  return absl::TimeFromTimespec(info.st_mtim);
}

// Every regular file below, in no order; a folder or file that goes away meanwhile is passed over.
absl::Status ForEachFile(const std::string& root, const std::function<absl::Status(const std::string& path)>& visit) {
  std::error_code error;
  std::filesystem::recursive_directory_iterator it(root, error);
  for (const std::filesystem::recursive_directory_iterator end; !error && it != end; it.increment(error)) {
    std::error_code gone;
    if (it->is_regular_file(gone)) ESPALIER_RETURN_IF_ERROR(visit(it->path().string()));
  }
  if (!error) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat("cannot list '", root, "': ", error.message()));
}

class FolderArtifactStore final : public ArtifactStore {
 public:
  explicit FolderArtifactStore(std::string folder) : folder_(std::move(folder)) {}

  absl::Status Prepare() {
    for (const char* part : {"sha256", "names", "tmp", "damaged"})
      ESPALIER_RETURN_IF_ERROR(CreateFolders(folder_ + "/" + part));
    RemoveAbandoned();
    return absl::OkStatus();
  }

  absl::StatusOr<std::string> Put(std::string_view content) override { return PutPieces({content}); }

  absl::StatusOr<std::string> PutPieces(const std::vector<std::string_view>& pieces) override {
    Sha256 hash;
    for (const std::string_view piece : pieces) hash.Update(piece);
    const std::string digest = hash.FinishHex();
    if (Refresh(digest)) return digest;
    ESPALIER_ASSIGN_OR_RETURN(std::unique_ptr<AtomicFile> file, AtomicFile::Create(folder_ + "/tmp/put"));
    for (const std::string_view piece : pieces) ESPALIER_RETURN_IF_ERROR(file->Append(piece));
    ESPALIER_RETURN_IF_ERROR(Commit(file.get(), digest));
    return digest;
  }

  absl::StatusOr<std::string> PutFile(const std::string& path) override {
    const Descriptor source = OpenToRead(path);
    if (!source.is_open()) return ErrnoStatus("cannot open", path);
    // Copied while it is hashed, so that a file that changes meanwhile still lands under the digest of what was copied.
    ESPALIER_ASSIGN_OR_RETURN(std::unique_ptr<AtomicFile> file, AtomicFile::Create(folder_ + "/tmp/put"));
    Sha256 hash;
    for (int64_t offset = 0;; offset += static_cast<int64_t>(kCopyBytes)) {
      ESPALIER_ASSIGN_OR_RETURN(const std::string piece, ReadAt(source, path, offset, kCopyBytes));
      hash.Update(piece);
      ESPALIER_RETURN_IF_ERROR(file->Append(piece));
      if (piece.size() < kCopyBytes) break;
    }
    const std::string digest = hash.FinishHex();
    if (Refresh(digest)) return digest;
    ESPALIER_RETURN_IF_ERROR(Commit(file.get(), digest));
    return digest;
  }

  absl::StatusOr<std::string> Get(const std::string& digest) override {
    ESPALIER_ASSIGN_OR_RETURN(const int64_t size, Size(digest));
    ESPALIER_ASSIGN_OR_RETURN(std::string content, GetRange(digest, 0, size));
    if (Sha256Hex(content) == digest) return content;
    const std::string aside = absl::StrCat(folder_, "/damaged/", digest);
    const bool moved = ::rename(PathOf(digest).c_str(), aside.c_str()) == 0;
    return absl::DataLossError(absl::StrCat("artifact ", digest, " is damaged: its content has another digest",
                                            moved ? absl::StrCat("; it was moved to '", aside, "'") : ""));
  }

  absl::StatusOr<std::string> GetRange(const std::string& digest, int64_t offset, int64_t length) override {
    ESPALIER_RETURN_IF_ERROR(CheckArtifactDigest(digest));
    const Descriptor file = OpenToRead(PathOf(digest));
    if (!file.is_open()) return OpenError(digest);
    ESPALIER_ASSIGN_OR_RETURN(const int64_t size, SizeOf(file, PathOf(digest)));
    if (offset < 0 || length < 0 || offset > size) {
      return absl::OutOfRangeError(
          absl::StrCat("bytes from ", offset, ", ", length, " of them, of artifact ", digest, ", which has ", size));
    }
    return ReadAt(file, PathOf(digest), offset, std::min(length, size - offset));
  }

  absl::StatusOr<int64_t> Size(const std::string& digest) override {
    ESPALIER_RETURN_IF_ERROR(CheckArtifactDigest(digest));
    const Descriptor file = OpenToRead(PathOf(digest));
    if (!file.is_open()) return OpenError(digest);
    return SizeOf(file, PathOf(digest));
  }

  absl::Status Remove(const std::string& digest) override {
    ESPALIER_RETURN_IF_ERROR(CheckArtifactDigest(digest));
    return Unlink(PathOf(digest));
  }

  absl::Status SetName(const std::string& name, std::string_view value) override {
    ESPALIER_RETURN_IF_ERROR(CheckArtifactName(name));
    const std::string path = NamePath(name);
    ESPALIER_RETURN_IF_ERROR(CreateFolders(std::filesystem::path(path).parent_path().string()));
    ESPALIER_ASSIGN_OR_RETURN(std::unique_ptr<AtomicFile> file, AtomicFile::Create(folder_ + "/tmp/name"));
    ESPALIER_RETURN_IF_ERROR(file->Append(value));
    return file->Commit(path);
  }

  absl::StatusOr<std::string> GetName(const std::string& name) override {
    ESPALIER_RETURN_IF_ERROR(CheckArtifactName(name));
    absl::StatusOr<std::string> value = ReadFile(NamePath(name), kMaxNameValueBytes);
    if (absl::IsNotFound(value.status()))
      return absl::NotFoundError(absl::StrCat("the name '", name, "' was never set in '", folder_, "'"));
    return value;
  }

  absl::Status RemoveName(const std::string& name) override {
    ESPALIER_RETURN_IF_ERROR(CheckArtifactName(name));
    return Unlink(NamePath(name));
  }

  absl::StatusOr<std::vector<StoredArtifact>> List() override {
    ESPALIER_ASSIGN_OR_RETURN(const absl::Time now, FileServerNow());
    std::vector<StoredArtifact> found;
    const absl::Status status = ForEachFile(folder_ + "/sha256", [&](const std::string& path) -> absl::Status {
      StoredArtifact artifact;
      artifact.digest = std::filesystem::path(path).filename().string();
      if (!IsArtifactDigest(artifact.digest)) return absl::OkStatus();  // none of ours
      struct stat info;
      if (::stat(path.c_str(), &info) != 0) return errno == ENOENT ? absl::OkStatus() : ErrnoStatus("cannot stat", path);
      artifact.bytes = static_cast<int64_t>(info.st_size);
      artifact.put_time = absl::TimeFromTimespec(info.st_mtim);
      artifact.age = now - artifact.put_time;
      found.push_back(std::move(artifact));
      return absl::OkStatus();
    });
    if (!status.ok()) return status;
    return found;
  }

  absl::StatusOr<std::vector<StoredName>> ListNames() override {
    ESPALIER_ASSIGN_OR_RETURN(const absl::Time now, FileServerNow());
    const std::string root = folder_ + "/names";
    std::vector<StoredName> found;
    const absl::Status status = ForEachFile(root, [&](const std::string& path) -> absl::Status {
      StoredName name;
      name.name = path.substr(root.size() + 1);
      const absl::StatusOr<absl::Time> written = FolderArtifactTime(path);
      absl::StatusOr<std::string> value = ReadFile(path, kMaxNameValueBytes);
      if (absl::IsNotFound(written.status()) || absl::IsNotFound(value.status())) return absl::OkStatus();
      ESPALIER_RETURN_IF_ERROR(written.status());
      ESPALIER_RETURN_IF_ERROR(value.status());
      name.age = now - *written;
      name.value = *std::move(value);
      found.push_back(std::move(name));
      return absl::OkStatus();
    });
    if (!status.ok()) return status;
    return found;
  }

  absl::Status Keep(const std::string& digest) override {
    ESPALIER_RETURN_IF_ERROR(CheckArtifactDigest(digest));
    if (::utimensat(AT_FDCWD, PathOf(digest).c_str(), nullptr, 0) == 0) return absl::OkStatus();
    if (errno == ENOENT) return OpenError(digest);
    return PutFile(PathOf(digest)).status();  // another user's: its time cannot be changed
  }

  absl::StatusOr<bool> RemoveUnused(const std::string& digest, absl::Time put_time) override {
    ESPALIER_RETURN_IF_ERROR(CheckArtifactDigest(digest));
    const std::string path = PathOf(digest);
    absl::StatusOr<absl::Time> written = FolderArtifactTime(path);
    if (absl::IsNotFound(written.status())) return true;
    ESPALIER_RETURN_IF_ERROR(written.status());
    if (*written > put_time) return false;
    // Out of the way first: a Put from now on writes the file anew, and one before has changed its time.
    const std::string aside = absl::StrCat(folder_, "/tmp/collect.", digest);
    if (::rename(path.c_str(), aside.c_str()) != 0) {
      if (errno == ENOENT) return true;
      return ErrnoStatus("cannot rename to", aside);
    }
    written = FolderArtifactTime(aside);
    const bool is_young = written.ok() && *written > put_time;
    if (is_young && ::link(aside.c_str(), path.c_str()) != 0 && errno != EEXIST) {
      return ErrnoStatus("cannot link to", path);
    }
    ESPALIER_RETURN_IF_ERROR(Unlink(aside));
    return !is_young;
  }

 private:
  std::string PathOf(const std::string& digest) const {
    return absl::StrCat(folder_, "/sha256/", digest.substr(0, 2), "/", digest);
  }
  std::string NamePath(const std::string& name) const { return absl::StrCat(folder_, "/names/", name); }

  absl::Status OpenError(const std::string& digest) const {
    if (errno == ENOENT) return absl::NotFoundError(absl::StrCat("no artifact ", digest, " in '", folder_, "'"));
    return ErrnoStatus("cannot open", PathOf(digest));
  }

  // There, and of the right content, and from now on not to be collected for a while. Else it is written (again): a
  // damaged file, one that was collected meanwhile, or one of another user, whose age cannot be changed.
  bool Refresh(const std::string& digest) const {
    const absl::StatusOr<std::string> stored = Sha256HexOfFile(PathOf(digest));
    return stored.ok() && *stored == digest && ::utimensat(AT_FDCWD, PathOf(digest).c_str(), nullptr, 0) == 0;
  }

  // The time by the clock that the files' times are by.
  absl::StatusOr<absl::Time> FileServerNow() const {
    ESPALIER_ASSIGN_OR_RETURN(std::unique_ptr<AtomicFile> file, AtomicFile::Create(folder_ + "/tmp/clock"));
    ESPALIER_RETURN_IF_ERROR(file->Append("now"));
    return FolderArtifactTime(file->temporary());
  }

  absl::Status Commit(AtomicFile* file, const std::string& digest) const {
    const std::string path = PathOf(digest);
    ESPALIER_RETURN_IF_ERROR(CreateFolders(std::filesystem::path(path).parent_path().string()));
    return file->Commit(path);
  }

  static absl::Status Unlink(const std::string& path) {
    if (::unlink(path.c_str()) == 0 || errno == ENOENT) return absl::OkStatus();
    return ErrnoStatus("cannot remove", path);
  }

  void RemoveAbandoned() const {
    std::error_code error;
    const auto now = std::filesystem::file_time_type::clock::now();
    for (std::filesystem::directory_iterator it(folder_ + "/tmp", error), end; !error && it != end;
         it.increment(error)) {
      std::error_code ignored;
      const auto written = std::filesystem::last_write_time(it->path(), ignored);
      if (!ignored && now - written > kAbandonedAfter) std::filesystem::remove(it->path(), ignored);
    }
  }

  std::string folder_;
};

}  // namespace

absl::StatusOr<std::string> ArtifactStore::PutPieces(const std::vector<std::string_view>& pieces) {
  std::string content;
  for (const std::string_view piece : pieces) content.append(piece);
  return Put(content);
}

absl::StatusOr<std::unique_ptr<ArtifactStore>> OpenFolderArtifactStore(const std::string& folder) {
  auto store = std::make_unique<FolderArtifactStore>(folder);
  ESPALIER_RETURN_IF_ERROR(store->Prepare());
  return store;
}

}  // namespace espalier
