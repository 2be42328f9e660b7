#include "worker/engine/bank_cache.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/status_macros.h"
#include "common/domain/bank_key.h"
#include "worker/model/device_runtime.h"

namespace espalier {
namespace {

absl::Status CheckReference(const BankReference& reference, const ModelConfig& dense) {
  if (static_cast<int>(reference.layer_digests.size()) == dense.num_layers) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("bank '", reference.key, "' names ", reference.layer_digests.size(),
                                                 " layer artifacts, the model has ", dense.num_layers, " layers"));
}

}  // namespace

BankCache::BankCache(ArtifactStore* artifacts, torch::Device device, int64_t device_bytes, int64_t total_bytes)
    : artifacts_(artifacts),
      device_(device),
      device_bytes_(device_bytes),
      banks_(total_bytes, [device] { SynchronizeCurrentStream(device); }),
      layers_(device_bytes, [device] { SynchronizeCurrentStream(device); }) {}

absl::StatusOr<LayerBank> BankCache::Read(const std::string& digest, int layer, const ModelConfig& dense,
                                          const Ladder& ladder) {
  const absl::StatusOr<std::string> bytes = artifacts_->Get(digest);
  if (absl::IsNotFound(bytes.status())) {  // moved aside as damaged, or deleted: to be built again either way
    return absl::DataLossError(absl::StrCat("artifact ", digest, " (layer ", layer, " of the level bank) is gone"));
  }
  ESPALIER_RETURN_IF_ERROR(bytes.status());
  return ParseLayerBank(*bytes, digest, dense, ladder, layer, torch::kCPU);
}

absl::StatusOr<std::shared_ptr<const ResidentBank>> BankCache::Get(const BankReference& reference,
                                                                   const std::string& model_digest,
                                                                   const ModelConfig& dense, const Ladder& ladder) {
  ESPALIER_RETURN_IF_ERROR(CheckReference(reference, dense));
  const std::string key =
      absl::StrCat(model_digest, "/", absl::StrJoin(reference.layer_digests, ","), "/", LadderDigest(ladder));
  return banks_.Get(key, [&]() -> absl::StatusOr<ByteCache<ResidentBank>::Made> {
    std::vector<LayerBank> layers;
    int64_t bytes = 0;
    for (int layer = 0; layer < dense.num_layers; ++layer) {
      ESPALIER_ASSIGN_OR_RETURN(LayerBank bank, Read(reference.layer_digests[layer], layer, dense, ladder));
      bytes += bank.Bytes();
      layers.push_back(std::move(bank));
    }
    ESPALIER_ASSIGN_OR_RETURN(ResidentBank resident,
                              ResidentBank::Create(dense, std::move(layers), device_, device_bytes_));
    return ByteCache<ResidentBank>::Made{std::make_shared<const ResidentBank>(std::move(resident)), bytes};
  });
}

absl::StatusOr<std::shared_ptr<const LayerBank>> BankCache::GetLayer(const BankReference& reference, int layer,
                                                                     const std::string& model_digest,
                                                                     const ModelConfig& dense, const Ladder& ladder) {
  ESPALIER_RETURN_IF_ERROR(CheckReference(reference, dense));
  const std::string& digest = reference.layer_digests[layer];
  const std::string key = absl::StrCat(model_digest, "/", layer, "/", digest, "/", LadderDigest(ladder));
  return layers_.Get(key, [&]() -> absl::StatusOr<ByteCache<LayerBank>::Made> {
    ESPALIER_ASSIGN_OR_RETURN(const LayerBank bank, Read(digest, layer, dense, ladder));
    LayerBank moved = bank.To(device_, false);
    const int64_t bytes = moved.Bytes();
    return ByteCache<LayerBank>::Made{std::make_shared<const LayerBank>(std::move(moved)), bytes};
  });
}

void BankCache::Clear() {
  banks_.Clear();
  layers_.Clear();
}

}  // namespace espalier
