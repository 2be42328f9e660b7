// All layers of a level bank, ready for assembly: on the device as far as a byte budget reaches, the rest in host memory.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "common/domain/mask.h"
#include "worker/prune/bank.h"
#include "worker/prune/piece_upload.h"

namespace espalier {

// Immutable after construction, so safe to share between threads.
class ResidentBank {
 public:
  // layers: one for each layer of the model, in order. device_budget_bytes < 0: no limit. Layers that do not fit the
  // budget stay in (pinned) host memory and are uploaded at assembly.
  static absl::StatusOr<ResidentBank> Create(const ModelConfig& dense, std::vector<LayerBank> layers, torch::Device device,
                                             int64_t device_budget_bytes);

  // As LayerBank::PiecesAt, tensors on the device.
  absl::StatusOr<LayerPieces> PiecesAt(int layer, int attention_level, int ffn_level) const;
  // The same with weights and biases that come by the upload, to be started and awaited by the caller; kept_neurons are
  // there at once.
  absl::StatusOr<LayerPieces> PiecesAt(int layer, int attention_level, int ffn_level, PieceUpload& upload) const;

  // A copy whose layers all lie in (pinned) host memory.
  absl::StatusOr<ResidentBank> OnHost() const;

  int num_layers() const { return static_cast<int>(layers_.size()); }
  const LayerBank& layer(int index) const { return layers_[index]; }
  int64_t device_bytes() const { return device_bytes_; }
  int64_t host_bytes() const { return host_bytes_; }
  HeadOrders HeadOrdersOf() const;

 private:
  ResidentBank(const ModelConfig& dense, std::vector<LayerBank> layers, torch::Device device);

  ModelConfig dense_;
  std::vector<LayerBank> layers_;
  torch::Device device_;
  int64_t device_bytes_ = 0;
  int64_t host_bytes_ = 0;
};

}  // namespace espalier
