#include "worker/engine/token_cache.h"

#include "absl/strings/str_cat.h"
#include "common/base/sha256.h"
#include "common/base/status_macros.h"
#include "common/checkpoint/token_file.h"
#include "worker/model/device_runtime.h"

namespace espalier {
namespace {

constexpr size_t kMostEntries = 8;  // tokens and evaluation tokens of a few jobs

// Reads the whole windows in pieces, so that the int64 copy never exceeds a few megabytes.
torch::Tensor ReadIds(const checkpoint::TokenFile& file, int64_t num_windows, int sequence_length) {
  constexpr int64_t kPieceTokens = 1 << 20;
  torch::Tensor ids_NL = torch::empty({num_windows, sequence_length}, torch::kInt32);
  torch::Tensor flat = ids_NL.view({-1});
  std::vector<int64_t> piece;
  const int64_t total = num_windows * sequence_length;
  for (int64_t begin = 0; begin < total; begin += kPieceTokens) {
    const int64_t count = std::min(kPieceTokens, total - begin);
    piece.resize(count);
    file.Read(begin, count, piece.data());
    flat.narrow(0, begin, count).copy_(torch::from_blob(piece.data(), {count}, torch::kInt64));
  }
  return ids_NL;
}

}  // namespace

torch::Tensor TokenWindows::Rows(const std::vector<int64_t>& windows) const {
  const torch::Tensor index = torch::tensor(windows, torch::kInt64).to(ids_NL.device());
  return ids_NL.index_select(0, index).to(device, torch::kInt64);
}

TokenCache::TokenCache(torch::Device device) : device_(device) {}

absl::StatusOr<std::shared_ptr<const TokenWindows>> TokenCache::Get(const std::string& path, const std::string& digest,
                                                                    int sequence_length, int vocabulary_size) {
  std::lock_guard lock(mutex_);
  ESPALIER_ASSIGN_OR_RETURN(const std::string stamp, FileStamp(path));
  ESPALIER_ASSIGN_OR_RETURN(const std::string found, digests_.Get(path, stamp, Sha256HexOfFile));
  if (!digest.empty() && found != digest) {
    return absl::FailedPreconditionError(
        absl::StrCat("token file '", path, "' on this worker has digest ", found, ", the coordinator's is ", digest));
  }
  const std::string key = absl::StrCat(found, "/", sequence_length, "/", vocabulary_size);
  if (const auto entry = entries_.find(key); entry != entries_.end()) return entry->second;

  ESPALIER_ASSIGN_OR_RETURN(const auto file, checkpoint::TokenFile::Open(path, vocabulary_size));
  auto windows = std::make_shared<TokenWindows>();
  windows->digest = found;
  windows->num_tokens = file->num_tokens();
  windows->num_windows = file->num_tokens() / sequence_length;
  windows->sequence_length = sequence_length;
  windows->device = device_;
  if (windows->num_windows == 0) {
    return absl::InvalidArgumentError(absl::StrCat("token file '", path, "' holds ", file->num_tokens(),
                                                   " tokens, fewer than one window of ", sequence_length));
  }
  windows->ids_NL = ReadIds(*file, windows->num_windows, sequence_length);
  const int64_t bytes = static_cast<int64_t>(windows->ids_NL.nbytes());
  if (device_.is_cuda() && bytes < DeviceMemoryBytes(device_) / 32) windows->ids_NL = windows->ids_NL.to(device_);
  SynchronizeCurrentStream(device_);  // tasks on other streams read it next
  if (entries_.size() >= kMostEntries) entries_.clear();
  entries_[key] = windows;
  return std::shared_ptr<const TokenWindows>(windows);
}

void TokenCache::Clear() {
  std::lock_guard lock(mutex_);
  entries_.clear();
}

}  // namespace espalier
