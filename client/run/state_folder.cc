#include "client/run/state_folder.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/files.h"
#include "common/base/status_macros.h"
#include "common/base/uuid.h"
#include "common/security/secret_file.h"
#include "common/wire/job_file.h"

namespace espalier {
namespace {

namespace fs = std::filesystem;

constexpr size_t kLongestSocketPath = 100;  // sun_path holds 108 bytes; gRPC needs a few

absl::StatusOr<std::string> MakeTemporaryFolder(const std::string& prefix) {
  const char* root = ::getenv("TMPDIR");
  std::string pattern = absl::StrCat(root == nullptr || *root == '\0' ? "/tmp" : root, "/", prefix, "-XXXXXX");
  if (::mkdtemp(pattern.data()) == nullptr) return ErrnoStatus("cannot create the folder", pattern);
  return pattern;
}

// The first line of the specification that is not as it was.
std::string FirstDifference(const std::string& saved, const std::string& now) {
  const std::vector<std::string> saved_lines = absl::StrSplit(saved, '\n');
  const std::vector<std::string> new_lines = absl::StrSplit(now, '\n');
  for (size_t i = 0; i < std::max(saved_lines.size(), new_lines.size()); ++i) {
    const std::string was = i < saved_lines.size() ? saved_lines[i] : "";
    const std::string is = i < new_lines.size() ? new_lines[i] : "";
    if (was != is)
      return absl::StrCat("was '", absl::StripAsciiWhitespace(was), "', is '", absl::StripAsciiWhitespace(is), "'");
  }
  return "";
}

}  // namespace

absl::StatusOr<std::unique_ptr<StateFolder>> StateFolder::Open(const std::string& path) {
  std::unique_ptr<StateFolder> folder(new StateFolder());
  if (path.empty()) {
    ESPALIER_ASSIGN_OR_RETURN(folder->path_, MakeTemporaryFolder("espalier"));
    folder->is_temporary_ = true;
  } else {
    folder->path_ = fs::absolute(path).lexically_normal().string();
    if (folder->path_.size() > 1 && folder->path_.back() == '/') folder->path_.pop_back();
    std::error_code ignored;
    folder->was_made_ = !fs::exists(folder->path_, ignored);
    ESPALIER_RETURN_IF_ERROR(CreatePrivateFolder(folder->path_).status());
  }
  const std::string lock_path = folder->path_ + "/lock";
  folder->lock_ = ::open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (folder->lock_ < 0) return ErrnoStatus("cannot create", lock_path);
  if (::flock(folder->lock_, LOCK_EX | LOCK_NB) != 0) {
    return absl::FailedPreconditionError(absl::StrCat("another run is using the state folder '", folder->path_, "'"));
  }
  for (const std::string& part : {folder->coordinator_state(), folder->artifacts()})
    ESPALIER_RETURN_IF_ERROR(CreateFolders(part));
  folder->socket_path_ = folder->path_ + "/socket";
  if (folder->socket_path_.size() > kLongestSocketPath) {
    ESPALIER_ASSIGN_OR_RETURN(folder->socket_folder_, MakeTemporaryFolder("espalier-socket"));
    folder->socket_path_ = folder->socket_folder_ + "/socket";
  }
  ::unlink(folder->socket_path_.c_str());  // of a run that was killed
  return folder;
}

StateFolder::~StateFolder() {
  std::error_code ignored;
  if (!socket_path_.empty()) fs::remove(socket_path_, ignored);
  if (!socket_folder_.empty()) fs::remove_all(socket_folder_, ignored);
  if (is_temporary_) fs::remove_all(path_, ignored);
  if (lock_ >= 0) ::close(lock_);
}

absl::StatusOr<std::string> StateFolder::RequestIdFor(const v1::JobSpec& spec) {
  const std::string id_path = path_ + "/request_id";
  const std::string spec_path = path_ + "/job.textproto";
  const std::string text = wire::FormatJobFile(spec);
  absl::StatusOr<std::string> saved_id = ReadFile(id_path, 4096);
  if (absl::IsNotFound(saved_id.status())) {
    const std::string id = NewUuid();
    has_new_request_ = true;
    ESPALIER_RETURN_IF_ERROR(WriteFileAtomically(spec_path, text));
    ESPALIER_RETURN_IF_ERROR(WriteFileAtomically(id_path, id + "\n"));
    return id;
  }
  if (!saved_id.ok()) return saved_id.status();
  ESPALIER_ASSIGN_OR_RETURN(const std::string saved_text, ReadFile(spec_path, 16 << 20));
  if (saved_text != text) {
    return absl::FailedPreconditionError(absl::StrCat("the state folder '", path_, "' belongs to another job (",
                                                      FirstDifference(saved_text, text), "); name another --state"));
  }
  absl::StripAsciiWhitespace(&*saved_id);
  return *saved_id;
}

void StateFolder::Forget() {
  if (!has_new_request_) return;
  is_temporary_ = is_temporary_ || was_made_;
  std::error_code ignored;
  fs::remove(path_ + "/request_id", ignored);
  fs::remove(path_ + "/job.textproto", ignored);
}

}  // namespace espalier
