#include "coordinator/rpc/artifact_reactors.h"

#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/descriptor.h"
#include "common/base/files.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/security/redact.h"
#include "coordinator/rpc/status.h"

namespace espalier {
namespace {

constexpr int64_t kArtifactPieceBytes = 1 << 20;

bool IsDigest(const std::string& text) {
  return text.size() == 64 && text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

// Deletes itself when gRPC is done with it; between that and its last post nothing else runs, because a stream has one
// operation under way at a time.
class ReadReactor final : public grpc::ServerWriteReactor<v1::ReadArtifactResponse> {
 public:
  ReadReactor(const v1::ReadArtifactRequest& request, ArtifactStore* artifacts, Executor* executor)
      : digest_(request.digest()), offset_(request.offset()), artifacts_(artifacts), executor_(executor) {}

  void Begin(Quota::Ticket ticket) {
    ticket_ = std::move(ticket);
    executor_->Post([this] {
      if (const absl::Status status = Check(); !status.ok()) return Refuse(status);
      WriteNext();
    });
  }
  void OnWriteDone(bool ok) override {
    if (!ok) return End(grpc::Status::CANCELLED);
    executor_->Post([this] { WriteNext(); });
  }
  void OnDone() override { delete this; }

 private:
  // Where artifacts lie is not the caller's matter.
  void Refuse(const absl::Status& status) {
    End(ToGrpc(absl::Status(status.code(), WithoutPaths(ToStd(status.message())))));
  }

  void End(const grpc::Status& status) {
    ticket_.reset();  // before the caller hears of the end
    Finish(status);
  }

  absl::Status Check() {
    if (!IsDigest(digest_)) return absl::InvalidArgumentError("digest: no SHA-256 in hexadecimal");
    ESPALIER_ASSIGN_OR_RETURN(total_, artifacts_->Size(digest_));
    if (offset_ < 0 || offset_ > total_) {
      return absl::OutOfRangeError(absl::StrCat("offset: ", offset_, " is outside of the ", total_, " bytes"));
    }
    return absl::OkStatus();
  }

  void WriteNext() {
    const int64_t length = std::min(kArtifactPieceBytes, total_ - offset_);
    if (length == 0 && has_written_) return End(grpc::Status::OK);
    absl::StatusOr<std::string> piece = std::string();
    if (length > 0) piece = artifacts_->GetRange(digest_, offset_, length);
    if (!piece.ok()) return Refuse(piece.status());
    if (piece->empty() && length > 0) return End(ToGrpc(absl::DataLossError("the artifact became shorter")));
    offset_ += static_cast<int64_t>(piece->size());
    message_.set_data(*std::move(piece));
    message_.set_total_bytes(has_written_ ? 0 : total_);
    has_written_ = true;
    StartWrite(&message_);
  }

  const std::string digest_;
  int64_t offset_;
  int64_t total_ = 0;
  bool has_written_ = false;
  ArtifactStore* artifacts_;
  Executor* executor_;
  v1::ReadArtifactResponse message_;
  Quota::Ticket ticket_;
};

class UploadReactor final : public grpc::ServerReadReactor<v1::UploadArtifactRequest> {
 public:
  UploadReactor(UploadLimits limits, v1::UploadArtifactResponse* response, ArtifactStore* artifacts, Executor* executor)
      : limits_(std::move(limits)), response_(response), artifacts_(artifacts), executor_(executor) {}
  ~UploadReactor() override { RemoveFile(); }

  void Begin(Quota::Ticket ticket) {
    ticket_ = std::move(ticket);
    executor_->Post([this] {
      if (const absl::Status status = Open(); !status.ok()) return End(status);
      StartRead(&message_);
    });
  }
  void OnReadDone(bool ok) override {
    executor_->Post([this, ok] {
      const absl::Status status = ok ? Append() : Store();
      if (!ok || !status.ok()) return End(status);
      StartRead(&message_);
    });
  }
  void OnDone() override { delete this; }

 private:
  // Nothing is left behind by the time the caller hears of the end.
  void End(const absl::Status& status) {
    RemoveFile();
    ticket_.reset();
    Finish(ToGrpc(status));
  }
  void RemoveFile() {
    file_.Close();
    if (!path_.empty()) ::unlink(std::exchange(path_, "").c_str());
  }

  absl::Status Open() {
    ESPALIER_RETURN_IF_ERROR(CreateFolders(limits_.upload_folder));
    path_ = limits_.upload_folder + "/upload-XXXXXX";
    file_ = Descriptor(::mkstemp(path_.data()));
    if (file_.is_open()) return absl::OkStatus();
    const absl::Status status = absl::UnavailableError(absl::StrCat("cannot store uploads: ", std::strerror(errno)));
    path_.clear();
    return status;
  }

  absl::Status Append() {
    if (!message_.digest().empty()) {
      if (!IsDigest(message_.digest())) return absl::InvalidArgumentError("digest: no SHA-256 in hexadecimal");
      digest_ = message_.digest();
    }
    bytes_ += static_cast<int64_t>(message_.data().size());
    if (bytes_ > limits_.max_bytes) {
      return absl::ResourceExhaustedError(
          absl::StrCat("the upload is larger than the limit of ", limits_.max_bytes, " bytes"));
    }
    return WriteAll(file_, message_.data(), path_);
  }

  absl::Status Store() {
    ESPALIER_ASSIGN_OR_RETURN(const std::string stored, artifacts_->PutFile(path_));
    if (!digest_.empty() && stored != digest_) {
      return absl::DataLossError(absl::StrCat("the content has digest ", stored, ", announced was ", digest_));
    }
    response_->set_digest(stored);
    response_->set_bytes(bytes_);
    if (!limits_.artifact_folder.empty()) {  // in object storage no job can name it as a file
      response_->set_path(absl::StrCat(limits_.artifact_folder, "/sha256/", stored.substr(0, 2), "/", stored));
    }
    return absl::OkStatus();
  }

  UploadLimits limits_;
  v1::UploadArtifactResponse* response_;
  ArtifactStore* artifacts_;
  Executor* executor_;
  v1::UploadArtifactRequest message_;
  std::string path_;
  std::string digest_;
  int64_t bytes_ = 0;
  Descriptor file_;
  Quota::Ticket ticket_;
};

}  // namespace

grpc::ServerWriteReactor<v1::ReadArtifactResponse>* StartArtifactRead(const absl::Status& refusal,
                                                                      absl::StatusOr<Quota::Ticket> ticket,
                                                                      const v1::ReadArtifactRequest& request,
                                                                      ArtifactStore* artifacts, Executor* executor) {
  auto* reactor = new ReadReactor(request, artifacts, executor);
  if (refusal.ok() && ticket.ok()) {
    reactor->Begin(*std::move(ticket));
  } else {
    reactor->Finish(ToGrpc(refusal.ok() ? ticket.status() : refusal));
  }
  return reactor;
}

grpc::ServerReadReactor<v1::UploadArtifactRequest>* StartArtifactUpload(const absl::Status& refusal,
                                                                        absl::StatusOr<Quota::Ticket> ticket,
                                                                        UploadLimits limits,
                                                                        v1::UploadArtifactResponse* response,
                                                                        ArtifactStore* artifacts, Executor* executor) {
  auto* reactor = new UploadReactor(std::move(limits), response, artifacts, executor);
  if (refusal.ok() && ticket.ok()) {
    reactor->Begin(*std::move(ticket));
  } else {
    reactor->Finish(ToGrpc(refusal.ok() ? ticket.status() : refusal));
  }
  return reactor;
}

}  // namespace espalier
