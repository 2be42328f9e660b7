#include "client/service/artifacts.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <filesystem>
#include <functional>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/service/model_target.h"
#include "common/base/descriptor.h"
#include "common/base/files.h"
#include "common/base/sha256.h"
#include "common/base/status_macros.h"

namespace espalier {
namespace {

namespace fs = std::filesystem;

constexpr int kAttempts = 5;  // a broken stream is continued at its offset

using Sink = std::function<absl::Status(std::string_view)>;

absl::Status Stream(Connection& connection, const std::string& digest, const Sink& sink) {
  Sha256 sha;
  int64_t offset = 0;
  const auto began = std::chrono::steady_clock::now();
  for (int attempt = 1;; ++attempt) {
    grpc::ClientContext context;
    connection.Prepare(context, absl::Hours(6));
    v1::ReadArtifactRequest request;
    request.set_digest(digest);
    request.set_offset(offset);
    const auto reader = connection.stub().ReadArtifact(&context, request);
    v1::ReadArtifactResponse response;
    while (reader->Read(&response)) {
      sha.Update(response.data());
      offset += static_cast<int64_t>(response.data().size());
      if (absl::Status status = sink(response.data()); !status.ok()) {
        context.TryCancel();
        return status;
      }
    }
    const grpc::Status status = reader->Finish();
    if (status.ok()) break;
    if (connection.FindLeader(status, began)) continue;
    if (status.error_code() != grpc::StatusCode::UNAVAILABLE || attempt >= kAttempts) return connection.InWords(status);
  }
  const std::string actual = sha.FinishHex();
  if (actual == digest) return absl::OkStatus();
  return absl::DataLossError(absl::StrCat("artifact ", digest, " arrived with digest ", actual, "; it is damaged"));
}

absl::Status FetchFile(Connection& connection, const v1::ExportedFile& file, const std::string& folder) {
  const fs::path name(file.name());
  if (name.empty() || name.filename() != name || file.name() == "." || file.name() == "..") {
    return absl::InvalidArgumentError(
        absl::StrCat("the export names a file '", file.name(), "', which is no plain file name"));
  }
  const std::string path = (fs::path(folder) / name).string();
  const Descriptor output(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
  if (!output.is_open()) return ErrnoStatus("cannot create", path);
  ESPALIER_RETURN_IF_ERROR(
      Stream(connection, file.digest(), [&](std::string_view bytes) { return WriteAll(output, bytes, path); }));
  return ::fsync(output.get()) == 0 ? absl::OkStatus() : ErrnoStatus("cannot sync", path);
}

// What was there goes only once the new one has its name.
absl::Status MoveIntoPlace(const fs::path& from, const fs::path& to) {
  ESPALIER_RETURN_IF_ERROR(CheckReplaceable(to.string()));
  std::error_code error;
  const fs::path former = to.parent_path() / absl::StrCat(".", to.filename().string(), ".replaced-", ::getpid());
  const bool was_there = fs::exists(fs::symlink_status(to, error));
  if (was_there && ::rename(to.c_str(), former.c_str()) != 0) return ErrnoStatus("cannot rename", to.string());
  if (::rename(from.c_str(), to.c_str()) != 0) {
    const absl::Status status = ErrnoStatus("cannot rename to", to.string());
    if (was_there) fs::rename(former, to, error);
    return status;
  }
  if (was_there) fs::remove_all(former, error);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::string> ReadArtifact(Connection& connection, const std::string& digest) {
  std::string content;
  const absl::Status status = Stream(connection, digest, [&content](std::string_view bytes) {
    content.append(bytes);
    return absl::OkStatus();
  });
  if (!status.ok()) return status;
  return content;
}

absl::Status FetchFolder(Connection& connection, const std::vector<v1::ExportedFile>& files,
                         const std::string& folder) {
  const fs::path target = fs::path(folder).lexically_normal();
  const fs::path parent = target.has_parent_path() ? target.parent_path() : fs::path(".");
  ESPALIER_RETURN_IF_ERROR(CreateFolders(parent.string()));
  const fs::path partial = parent / absl::StrCat(".", target.filename().string(), ".partial-", ::getpid());
  std::error_code ignored;
  fs::remove_all(partial, ignored);
  ESPALIER_RETURN_IF_ERROR(CreateFolders(partial.string()));
  absl::Status status;
  for (const v1::ExportedFile& file : files) {
    status = FetchFile(connection, file, partial.string());
    if (!status.ok()) break;
  }
  if (status.ok()) status = MoveIntoPlace(partial, target);
  if (!status.ok()) fs::remove_all(partial, ignored);
  return status;
}

}  // namespace espalier
