#include "common/artifacts/artifact_counts.h"

#include <utility>

namespace espalier {
namespace {

ArtifactResult ResultOf(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk: return ArtifactResult::kSucceeded;
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kOutOfRange: return ArtifactResult::kMissing;
    case absl::StatusCode::kDataLoss: return ArtifactResult::kDamaged;
    case absl::StatusCode::kResourceExhausted: return ArtifactResult::kNoRoom;
    default: return ArtifactResult::kFailed;
  }
}

size_t PlaceOf(ArtifactOperation operation, ArtifactResult result) {
  return static_cast<size_t>(operation) * kNumArtifactResults + static_cast<size_t>(result);
}

class CountedArtifactStore final : public ArtifactStore {
 public:
  CountedArtifactStore(std::unique_ptr<ArtifactStore> store, ArtifactCounts* counts)
      : store_(std::move(store)), counts_(counts) {}

  absl::StatusOr<std::string> Put(std::string_view content) override {
    return Note(ArtifactOperation::kWrite, store_->Put(content));
  }
  absl::StatusOr<std::string> PutPieces(const std::vector<std::string_view>& pieces) override {
    return Note(ArtifactOperation::kWrite, store_->PutPieces(pieces));
  }
  absl::StatusOr<std::string> PutFile(const std::string& path) override {
    return Note(ArtifactOperation::kWrite, store_->PutFile(path));
  }
  absl::StatusOr<std::string> Get(const std::string& digest) override {
    return Note(ArtifactOperation::kRead, store_->Get(digest));
  }
  absl::StatusOr<std::string> GetRange(const std::string& digest, int64_t offset, int64_t length) override {
    return Note(ArtifactOperation::kRead, store_->GetRange(digest, offset, length));
  }
  absl::StatusOr<int64_t> Size(const std::string& digest) override {
    return Note(ArtifactOperation::kLook, store_->Size(digest));
  }
  absl::Status Remove(const std::string& digest) override {
    return NoteStatus(ArtifactOperation::kRemove, store_->Remove(digest));
  }
  absl::Status SetName(const std::string& name, std::string_view value) override {
    return NoteStatus(ArtifactOperation::kChange, store_->SetName(name, value));
  }
  absl::StatusOr<std::string> GetName(const std::string& name) override {
    return Note(ArtifactOperation::kLook, store_->GetName(name));
  }
  absl::Status RemoveName(const std::string& name) override {
    return NoteStatus(ArtifactOperation::kRemove, store_->RemoveName(name));
  }
  absl::StatusOr<std::vector<StoredArtifact>> List() override { return Note(ArtifactOperation::kList, store_->List()); }
  absl::StatusOr<std::vector<StoredName>> ListNames() override {
    return Note(ArtifactOperation::kList, store_->ListNames());
  }
  absl::Status Keep(const std::string& digest) override {
    return NoteStatus(ArtifactOperation::kChange, store_->Keep(digest));
  }
  absl::StatusOr<bool> RemoveUnused(const std::string& digest, absl::Time put_time) override {
    return Note(ArtifactOperation::kRemove, store_->RemoveUnused(digest, put_time));
  }

 private:
  template <typename Value>
  absl::StatusOr<Value> Note(ArtifactOperation operation, absl::StatusOr<Value> answer) {
    counts_->Note(operation, answer.status());
    return answer;
  }
  absl::Status NoteStatus(ArtifactOperation operation, absl::Status status) {
    counts_->Note(operation, status);
    return status;
  }

  const std::unique_ptr<ArtifactStore> store_;
  ArtifactCounts* const counts_;
};

}  // namespace

const char* Name(ArtifactOperation operation) {
  switch (operation) {
    case ArtifactOperation::kRead: return "read";
    case ArtifactOperation::kWrite: return "write";
    case ArtifactOperation::kLook: return "look";
    case ArtifactOperation::kChange: return "change";
    case ArtifactOperation::kRemove: return "remove";
    case ArtifactOperation::kList: return "list";
  }
  return "unknown";
}

const char* Name(ArtifactResult result) {
  switch (result) {
    case ArtifactResult::kSucceeded: return "succeeded";
    case ArtifactResult::kMissing: return "missing";
    case ArtifactResult::kDamaged: return "damaged";
    case ArtifactResult::kNoRoom: return "no_room";
    case ArtifactResult::kFailed: return "failed";
  }
  return "unknown";
}

void ArtifactCounts::Note(ArtifactOperation operation, const absl::Status& status) {
  counts_[PlaceOf(operation, ResultOf(status))].fetch_add(1, std::memory_order_relaxed);
}

int64_t ArtifactCounts::Of(ArtifactOperation operation, ArtifactResult result) const {
  return counts_[PlaceOf(operation, result)].load(std::memory_order_relaxed);
}

void ArtifactCounts::ForEach(const std::function<void(ArtifactOperation, ArtifactResult, int64_t)>& visit) const {
  for (int operation = 0; operation < kNumArtifactOperations; ++operation) {
    for (int result = 0; result < kNumArtifactResults; ++result) {
      const auto each = static_cast<ArtifactOperation>(operation);
      visit(each, static_cast<ArtifactResult>(result), Of(each, static_cast<ArtifactResult>(result)));
    }
  }
}

ArtifactCounts& ArtifactCounts::OfProcess() {
  static ArtifactCounts counts;
  return counts;
}

std::unique_ptr<ArtifactStore> CountOperations(std::unique_ptr<ArtifactStore> store, ArtifactCounts* counts) {
  return std::make_unique<CountedArtifactStore>(std::move(store), counts);
}

}  // namespace espalier
