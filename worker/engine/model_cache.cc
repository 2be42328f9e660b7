#include "worker/engine/model_cache.h"

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/checkpoint/model_folder.h"
#include "worker/model/device_runtime.h"

namespace espalier {

int64_t BytesOf(const LanguageModel& model) {
  int64_t bytes = 0;
  for (const auto& [name, tensor] : NamedTensors(model)) bytes += static_cast<int64_t>(tensor.nbytes());
  return bytes;
}

ModelCache::ModelCache(torch::Device device, torch::ScalarType dtype, int64_t budget_bytes)
    : device_(device), dtype_(dtype), budget_bytes_(budget_bytes) {}

absl::StatusOr<std::string> ModelCache::CheckedDigest(const std::string& folder, const std::string& digest) {
  ESPALIER_ASSIGN_OR_RETURN(const std::string stamp, FolderStamp(folder));
  ESPALIER_ASSIGN_OR_RETURN(std::string found, digests_.Get(folder, stamp, checkpoint::FolderDigest));
  if (!digest.empty() && found != digest) {
    return absl::FailedPreconditionError(absl::StrCat("model folder '", folder, "' on this worker has digest ", found,
                                                      ", the coordinator's is ", digest));
  }
  return found;
}

absl::StatusOr<DenseModel> ModelCache::Get(const std::string& folder, const std::string& digest) {
  std::lock_guard lock(mutex_);
  ESPALIER_ASSIGN_OR_RETURN(const std::string found, CheckedDigest(folder, digest));
  for (auto entry = entries_.begin(); entry != entries_.end(); ++entry) {
    if (entry->folder == folder && entry->digest == found) {
      entries_.splice(entries_.begin(), entries_, entry);
      return DenseModel{entries_.front().model, found};
    }
  }
  ESPALIER_ASSIGN_OR_RETURN(const auto files, checkpoint::ModelFolder::Open(folder));
  int64_t file_bytes = 0;
  for (const auto& [name, tensor] : files->tensors()) file_bytes += tensor.end - tensor.begin;
  int64_t held_bytes = file_bytes;
  for (auto entry = entries_.begin(); entry != entries_.end();) {
    held_bytes += entry->bytes;
    entry = held_bytes > budget_bytes_ ? entries_.erase(entry) : std::next(entry);
  }
  ESPALIER_ASSIGN_OR_RETURN(std::unique_ptr<LanguageModel> loaded, LoadLanguageModel(*files, device_, dtype_));
  SynchronizeCurrentStream(device_);  // tasks on other streams read it next
  std::shared_ptr<const LanguageModel> model = std::move(loaded);
  entries_.push_front({folder, found, model, BytesOf(*model)});
  return DenseModel{model, found};
}

int64_t ModelCache::bytes() const {
  std::lock_guard lock(mutex_);
  int64_t bytes = 0;
  for (const Entry& entry : entries_) bytes += entry.bytes;
  return bytes;
}

bool ModelCache::DropOldest() {
  std::lock_guard lock(mutex_);
  if (entries_.size() < 2) return false;
  entries_.pop_back();
  return true;
}

void ModelCache::Clear() {
  std::lock_guard lock(mutex_);
  entries_.clear();
}

}  // namespace espalier
