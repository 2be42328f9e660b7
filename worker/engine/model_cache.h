// Dense models on the device: each loaded once and shared by all tasks that name it, checked against the digest that
// the coordinator computed, so that no result ever comes from other weights than the job's.
#pragma once

#include <list>
#include <memory>
#include <mutex>
#include <string>

#include "absl/status/statusor.h"
#include "worker/engine/file_stamp.h"
#include "worker/model/language_model.h"

namespace espalier {

struct DenseModel {
  std::shared_ptr<const LanguageModel> model;
  std::string digest;  // checkpoint::FolderDigest of what was loaded
};

class ModelCache {
 public:
  // Models beyond `budget_bytes` are forgotten, the one used longest ago first; the latest one always stays.
  ModelCache(torch::Device device, torch::ScalarType dtype, int64_t budget_bytes);

  // kFailedPrecondition when the folder's digest is not `digest`: the message names both. Errors of loading go out as
  // they are. An empty digest takes the folder as it is.
  absl::StatusOr<DenseModel> Get(const std::string& folder, const std::string& digest);

  // Forgets all models; those in use live until their tasks end.
  void Clear();
  int64_t bytes() const;
  bool DropOldest();  // the model used longest ago; false when only the latest one is left

 private:
  struct Entry {
    std::string folder;
    std::string digest;
    std::shared_ptr<const LanguageModel> model;
    int64_t bytes = 0;
  };
  absl::StatusOr<std::string> CheckedDigest(const std::string& folder, const std::string& digest);

  const torch::Device device_;
  const torch::ScalarType dtype_;
  const int64_t budget_bytes_;
  DigestCache digests_;
  mutable std::mutex mutex_;  // held while loading: the second task waits instead of loading the same model beside it
  std::list<Entry> entries_;  // latest first
};

// Bytes of the model's tensors on the device.
int64_t BytesOf(const LanguageModel& model);

}  // namespace espalier
