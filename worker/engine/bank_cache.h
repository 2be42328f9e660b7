// Level banks as tasks read them: layer artifacts verified, parsed once and shared.
#pragma once

#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/artifacts/artifact_store.h"
#include "common/domain/task.h"
#include "worker/engine/byte_cache.h"
#include "worker/prune/resident_bank.h"

namespace espalier {

// Where a task wants a bank. One that has once left the device stays in host memory: it is the same bank there.
enum class BankPlace { kDevice, kHost, kAnywhere };

// Thread-safe. The lock on banks is held while one is read: a second task that wants the same waits.
class BankCache {
 public:
  // Of a bank at most `device_bytes` lie on the device, the rest in host memory; banks beyond `total_bytes` are
  // forgotten.
  BankCache(ArtifactStore* artifacts, torch::Device device, int64_t device_bytes, int64_t total_bytes);

  // The whole bank. kDataLoss names the digest of an artifact that is damaged or gone; kInvalidArgument when the
  // reference does not name one artifact a layer.
  absl::StatusOr<std::shared_ptr<const ResidentBank>> Get(const BankReference& reference,
                                                          const std::string& model_digest, const ModelConfig& dense,
                                                          const Ladder& ladder, BankPlace place);

  // One layer, on the device.
  absl::StatusOr<std::shared_ptr<const LayerBank>> GetLayer(const BankReference& reference, int layer,
                                                            const std::string& model_digest, const ModelConfig& dense,
                                                            const Ladder& ladder);
  // Forgets what lies on the device; a bank in host memory stays.
  void Clear();

  int64_t bank_bytes_on_device() const;
  // The bank used longest ago of those on the device moves to host memory; false when none is there.
  bool MoveBankToHost();
  int64_t layer_bytes() const { return layers_.bytes(); }  // of single layers
  bool DropLayer() { return layers_.DropOldest(); }

 private:
  struct Held {
    std::string key;
    std::shared_ptr<const ResidentBank> bank;
    int64_t bytes() const { return bank->device_bytes() + bank->host_bytes(); }
  };

  absl::StatusOr<LayerBank> Read(const std::string& digest, int layer, const ModelConfig& dense, const Ladder& ladder);
  absl::StatusOr<std::vector<LayerBank>> ReadAll(const BankReference& reference, const ModelConfig& dense,
                                                 const Ladder& ladder, bool pin);
  absl::Status MoveToHost(Held& held);
  void Keep(Held held);

  ArtifactStore* const artifacts_;
  const torch::Device device_;
  const int64_t device_bytes_;
  const int64_t total_bytes_;
  mutable std::mutex mutex_;
  std::list<Held> banks_;  // latest first
  ByteCache<LayerBank> layers_;
};

}  // namespace espalier
