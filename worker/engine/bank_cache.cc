#include "worker/engine/bank_cache.h"

#include <algorithm>
#include <atomic>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/status_macros.h"
#include "common/domain/bank_key.h"
#include "worker/model/device_runtime.h"

namespace espalier {
namespace {

constexpr int kMostReaders = 8;  // of artifacts at once: checking and copying them is one core's work each

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
      total_bytes_(total_bytes),
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

absl::StatusOr<std::vector<LayerBank>> BankCache::ReadAll(const BankReference& reference, const ModelConfig& dense,
                                                          const Ladder& ladder, bool pin) {
  std::vector<absl::StatusOr<LayerBank>> read(dense.num_layers, absl::CancelledError("another layer could not be read"));
  std::atomic<int> next{0};
  std::atomic<bool> failed{false};
  const auto read_on = [&] {
    for (int layer = next++; layer < dense.num_layers && !failed; layer = next++) {
      try {
        read[layer] = Read(reference.layer_digests[layer], layer, dense, ladder);
        if (pin && read[layer].ok()) read[layer] = read[layer]->To(torch::kCPU, /*pin=*/true);
      } catch (...) {  // memory, for one: no exception may leave a thread
        read[layer] = StatusOfCurrentException(device_);
      }
      if (!read[layer].ok()) failed = true;
    }
  };
  {
    const int readers = std::clamp(static_cast<int>(std::thread::hardware_concurrency()), 1, std::min(kMostReaders, dense.num_layers));
    std::vector<std::jthread> others;
    for (int i = 1; i < readers; ++i) others.emplace_back(read_on);
    read_on();
  }
  std::vector<LayerBank> layers;
  for (absl::StatusOr<LayerBank>& layer : read) {
    if (!layer.ok() && !absl::IsCancelled(layer.status())) return layer.status();
  }
  for (absl::StatusOr<LayerBank>& layer : read) {
    ESPALIER_RETURN_IF_ERROR(layer.status());
    layers.push_back(*std::move(layer));
  }
  return layers;
}

absl::StatusOr<std::shared_ptr<const ResidentBank>> BankCache::Get(const BankReference& reference,
                                                                   const std::string& model_digest,
                                                                   const ModelConfig& dense, const Ladder& ladder,
                                                                   BankPlace place) {
  ESPALIER_RETURN_IF_ERROR(CheckReference(reference, dense));
  const std::string key =
      absl::StrCat(model_digest, "/", absl::StrJoin(reference.layer_digests, ","), "/", LadderDigest(ladder));
  const std::lock_guard lock(mutex_);
  const auto held = std::find_if(banks_.begin(), banks_.end(), [&](const Held& each) { return each.key == key; });
  if (held != banks_.end()) {
    banks_.splice(banks_.begin(), banks_, held);
    if (place == BankPlace::kHost && held->bank->device_bytes() > 0) ESPALIER_RETURN_IF_ERROR(MoveToHost(*held));
    return held->bank;
  }
  const int64_t device_bytes = place == BankPlace::kDevice ? device_bytes_ : 0;
  ESPALIER_ASSIGN_OR_RETURN(std::vector<LayerBank> layers,
                            ReadAll(reference, dense, ladder, device_bytes == 0 && device_.is_cuda()));
  ESPALIER_ASSIGN_OR_RETURN(ResidentBank resident, ResidentBank::Create(dense, std::move(layers), device_, device_bytes));
  SynchronizeCurrentStream(device_);  // tasks on other streams read it next
  auto bank = std::make_shared<const ResidentBank>(std::move(resident));
  Keep({key, bank});
  return bank;
}

absl::Status BankCache::MoveToHost(Held& held) {
  ESPALIER_ASSIGN_OR_RETURN(ResidentBank on_host, held.bank->OnHost());
  held.bank = std::make_shared<const ResidentBank>(std::move(on_host));
  return absl::OkStatus();
}

// A bank larger than all the room is handed out and not kept.
void BankCache::Keep(Held held) {
  if (held.bytes() > total_bytes_) return;
  banks_.push_front(std::move(held));
  int64_t bytes = 0;
  for (auto kept = banks_.begin(); kept != banks_.end();) {
    bytes += kept->bytes();
    kept = bytes > total_bytes_ ? banks_.erase(kept) : std::next(kept);
  }
}

int64_t BankCache::bank_bytes_on_device() const {
  const std::lock_guard lock(mutex_);
  int64_t bytes = 0;
  for (const Held& held : banks_) bytes += held.bank->device_bytes();
  return bytes;
}

bool BankCache::MoveBankToHost() {
  const std::lock_guard lock(mutex_);
  const auto held = std::find_if(banks_.rbegin(), banks_.rend(), [](const Held& each) { return each.bank->device_bytes() > 0; });
  if (held == banks_.rend()) return false;
  if (!MoveToHost(*held).ok()) banks_.erase(std::next(held).base());  // no room in host memory: to be read again
  return true;
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
  {
    const std::lock_guard lock(mutex_);
    std::erase_if(banks_, [](const Held& held) { return held.bank->device_bytes() > 0; });
  }
  layers_.Clear();
}

}  // namespace espalier
