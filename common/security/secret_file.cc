#include "common/security/secret_file.h"

#include <fcntl.h>
#include <openssl/rand.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "common/base/descriptor.h"
#include "common/base/files.h"
#include "common/base/status_macros.h"

namespace espalier {
namespace {

constexpr size_t kMinTokenBytes = 16;
constexpr int64_t kMaxTokenFileBytes = 4096;

absl::Status CheckMode(const struct stat& info, const std::string& path) {
  if (!S_ISREG(info.st_mode)) return absl::InvalidArgumentError(absl::StrCat("'", path, "' is no regular file"));
  const bool is_own = info.st_uid == ::geteuid();
  if (!is_own && info.st_uid != 0) {
    return absl::PermissionDeniedError(
        absl::StrCat("'", path, "' belongs to another user, who could change it; make it this user's"));
  }
  const mode_t allowed = is_own ? 0600 : 0640;
  const mode_t mode = info.st_mode & 07777;
  if ((mode & ~allowed) == 0) return absl::OkStatus();
  return absl::PermissionDeniedError(
      absl::StrFormat("'%s' has mode %04o, so others may read or change it; chmod 600 it", path, mode));
}

absl::StatusOr<std::string> MakeToken(const std::string& path) {
  ESPALIER_ASSIGN_OR_RETURN(const std::string token, NewToken());
  const Descriptor file(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!file.is_open()) return ErrnoStatus("cannot make the token file", path);
  ESPALIER_RETURN_IF_ERROR(WriteAll(file, token + "\n", path));
  if (::fsync(file.get()) != 0) return ErrnoStatus("cannot sync the token file", path);
  return token;
}

}  // namespace

absl::Status CheckSecretFile(const std::string& path) {
  struct stat info;
  if (::stat(path.c_str(), &info) != 0) return ErrnoStatus("cannot open", path);
  return CheckMode(info, path);
}

absl::StatusOr<std::string> ReadSecretFile(const std::string& path, int64_t max_bytes) {
  // Without blocking: what was named may be a pipe.
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  struct stat info;
  if (!file.is_open() || ::fstat(file.get(), &info) != 0) return ErrnoStatus("cannot open", path);
  ESPALIER_RETURN_IF_ERROR(CheckMode(info, path));
  std::string content;
  char buffer[4096];
  while (true) {
    const ssize_t count = ::read(file.get(), buffer, sizeof(buffer));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return ErrnoStatus("cannot read", path);
    if (count == 0) return content;
    content.append(buffer, static_cast<size_t>(count));
    if (static_cast<int64_t>(content.size()) > max_bytes) {
      return absl::InvalidArgumentError(absl::StrCat("'", path, "' is larger than ", max_bytes, " bytes"));
    }
  }
}

FileStamp StampOf(const std::string& path) {
  struct stat info;
  FileStamp stamp;
  if (::stat(path.c_str(), &info) != 0) return stamp;
  const auto ns = [](const timespec& time) { return int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec; };
  stamp = {info.st_dev, info.st_ino, info.st_size, ns(info.st_mtim), ns(info.st_ctim)};
  return stamp;
}

absl::StatusOr<bool> CreatePrivateFolder(const std::string& path) {
  std::filesystem::path folder = std::filesystem::path(path).lexically_normal();
  if (!folder.has_filename()) folder = folder.parent_path();
  if (folder.has_parent_path()) ESPALIER_RETURN_IF_ERROR(CreateFolders(folder.parent_path().string()));
  if (::mkdir(path.c_str(), 0700) == 0) return false;
  struct stat info;
  if (errno != EEXIST || ::stat(path.c_str(), &info) != 0) return ErrnoStatus("cannot create folder", path);
  if (!S_ISDIR(info.st_mode)) return absl::FailedPreconditionError(absl::StrCat("'", path, "' is no folder"));
  return (info.st_mode & 077) != 0;
}

absl::StatusOr<std::string> NewToken() {
  unsigned char random[32];
  if (RAND_bytes(random, sizeof(random)) != 1) return absl::InternalError("no random bytes for a token");
  return absl::BytesToHexString(absl::string_view(reinterpret_cast<const char*>(random), sizeof(random)));
}

absl::StatusOr<std::string> ReadToken(const std::string& path) {
  ESPALIER_ASSIGN_OR_RETURN(const std::string content, ReadSecretFile(path, kMaxTokenFileBytes));
  const std::string token(absl::StripAsciiWhitespace(content));
  if (token.size() < kMinTokenBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("the token in '", path, "' is shorter than ", kMinTokenBytes, " characters"));
  }
  if (token.find_first_of(" \t\r\n") != std::string::npos) {
    return absl::InvalidArgumentError(absl::StrCat("'", path, "' holds more than one token; put one into it"));
  }
  return token;
}

absl::StatusOr<std::string> ReadOrMakeToken(const std::string& path) {
  struct stat info;
  if (::stat(path.c_str(), &info) != 0 && errno == ENOENT) return MakeToken(path);
  return ReadToken(path);
}

}  // namespace espalier
