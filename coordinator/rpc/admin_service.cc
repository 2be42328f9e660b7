#include "coordinator/rpc/admin_service.h"

#include <fcntl.h>
#include <unistd.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/descriptor.h"
#include "common/base/files.h"
#include "common/base/sha256.h"
#include "common/base/status_macros.h"
#include "common/base/uuid.h"
#include "coordinator/rpc/status.h"

namespace espalier {
namespace {

constexpr size_t kPieceBytes = 1 << 20;

// Deletes itself when gRPC is done with it; a stream has one operation under way at a time.
class BackupReactor final : public grpc::ServerWriteReactor<v1::BackupResponse> {
 public:
  BackupReactor(BackupSource* source, Executor* readers, std::string folder)
      : source_(source), readers_(readers), folder_(std::move(folder)) {}

  void Begin() {
    readers_->Post([this] {
      if (const absl::Status status = MakeCopy(); !status.ok()) return Finish(ToGrpc(status));
      WriteNext();
    });
  }
  void OnWriteDone(bool ok) override {
    if (!ok) return Finish(grpc::Status::CANCELLED);
    if (!message_.sha256().empty()) return Finish(grpc::Status::OK);
    readers_->Post([this] { WriteNext(); });
  }
  void OnDone() override { delete this; }

 private:
  // Leaves an open file without a name, so that nothing has to be cleared away, however this ends.
  absl::Status MakeCopy() {
    if (source_ == nullptr) {
      return absl::FailedPreconditionError("this coordinator's store is no file; use its database's tools (pg_dump)");
    }
    ESPALIER_RETURN_IF_ERROR(CreateFolders(folder_));
    const std::string path = absl::StrCat(folder_, "/backup-", NewUuid());
    const absl::Status status = source_->Backup(path);
    if (status.ok()) copy_ = Descriptor(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    const absl::Status opened = copy_.is_open() ? absl::OkStatus() : ErrnoStatus("cannot open the copy", path);
    ::unlink(path.c_str());
    return status.ok() ? opened : status;
  }

  void WriteNext() {
    std::string piece(kPieceBytes, '\0');
    const ssize_t length = ::read(copy_.get(), piece.data(), piece.size());
    if (length < 0) return Finish(ToGrpc(ErrnoStatus("cannot read", "the copy of the database")));
    piece.resize(static_cast<size_t>(length));
    message_.Clear();
    if (length == 0) {
      message_.set_sha256(digest_.FinishHex());
    } else {
      digest_.Update(piece);
      message_.set_data(std::move(piece));
    }
    StartWrite(&message_);
  }

  BackupSource* source_;
  Executor* readers_;
  const std::string folder_;
  Descriptor copy_;
  Sha256 digest_;
  v1::BackupResponse message_;
};

class RefusedBackup final : public grpc::ServerWriteReactor<v1::BackupResponse> {
 public:
  explicit RefusedBackup(const absl::Status& status) { Finish(ToGrpc(status)); }
  void OnDone() override { delete this; }
};

}  // namespace

AdminServiceImpl::AdminServiceImpl(BackupSource* source, const Gate* gate, Executor* readers, std::string folder)
    : source_(source), gate_(gate), readers_(readers), folder_(std::move(folder)) {}

grpc::ServerWriteReactor<v1::BackupResponse>* AdminServiceImpl::Backup(grpc::CallbackServerContext* context,
                                                                       const v1::BackupRequest* /*request*/) {
  if (const absl::Status status = gate_->Check(*context, "espalier.v1.AdminService", "Backup"); !status.ok()) return new RefusedBackup(status);
  auto* reactor = new BackupReactor(source_, readers_, folder_);
  reactor->Begin();
  return reactor;
}

}  // namespace espalier
