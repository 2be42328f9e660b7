// Level banks as tasks read them: layer artifacts verified, parsed once and shared.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/artifacts/artifact_store.h"
#include "common/domain/task.h"
#include "worker/engine/byte_cache.h"
#include "worker/prune/resident_bank.h"

namespace espalier {

// Thread-safe.
class BankCache {
 public:
  // Of a bank at most `device_bytes` lie on the device, the rest in host memory; banks beyond `total_bytes` are
  // forgotten.
  BankCache(ArtifactStore* artifacts, torch::Device device, int64_t device_bytes, int64_t total_bytes);

  // The whole bank. kDataLoss names the digest of an artifact that is damaged or gone; kInvalidArgument when the
  // reference does not name one artifact a layer.
  absl::StatusOr<std::shared_ptr<const ResidentBank>> Get(const BankReference& reference,
                                                          const std::string& model_digest, const ModelConfig& dense,
                                                          const Ladder& ladder);

  // One layer, on the device.
  absl::StatusOr<std::shared_ptr<const LayerBank>> GetLayer(const BankReference& reference, int layer,
                                                            const std::string& model_digest, const ModelConfig& dense,
                                                            const Ladder& ladder);
  void Clear();

 private:
  absl::StatusOr<LayerBank> Read(const std::string& digest, int layer, const ModelConfig& dense, const Ladder& ladder);
  absl::StatusOr<std::vector<LayerBank>> ReadAll(const BankReference& reference, const ModelConfig& dense, const Ladder& ladder);

  ArtifactStore* const artifacts_;
  const torch::Device device_;
  const int64_t device_bytes_;
  ByteCache<ResidentBank> banks_;
  ByteCache<LayerBank> layers_;
};

}  // namespace espalier
