#include "worker/prune/resident_bank.h"

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "worker/model/device_runtime.h"

namespace espalier {

ResidentBank::ResidentBank(const ModelConfig& dense, std::vector<LayerBank> layers, torch::Device device)
    : dense_(dense), layers_(std::move(layers)), device_(device) {}

absl::StatusOr<ResidentBank> ResidentBank::Create(const ModelConfig& dense, std::vector<LayerBank> layers, torch::Device device,
                                                  int64_t device_budget_bytes) {
  if (static_cast<int>(layers.size()) != dense.num_layers) {
    return absl::InvalidArgumentError(absl::StrCat("a level bank of ", layers.size(), " layers for a model of ", dense.num_layers));
  }
  for (size_t i = 0; i < layers.size(); ++i) {
    if (layers[i].layer != static_cast<int>(i)) {
      return absl::InvalidArgumentError(absl::StrCat("place ", i, " of the level bank holds layer ", layers[i].layer));
    }
  }
  try {
    ResidentBank bank(dense, std::move(layers), device);
    for (LayerBank& layer : bank.layers_) {
      const int64_t bytes = layer.Bytes();
      const bool fits = device_budget_bytes < 0 || bank.device_bytes_ + bytes <= device_budget_bytes;
      (fits ? bank.device_bytes_ : bank.host_bytes_) += bytes;
      layer = layer.To(fits ? device : torch::Device(torch::kCPU), /*pin=*/device.is_cuda());
    }
    return bank;
  } catch (...) {
    return StatusOfCurrentException(device);
  }
}

absl::StatusOr<LayerPieces> ResidentBank::PiecesAt(int layer, int attention_level, int ffn_level) const {
  PieceUpload upload(MakeDeviceCopies(device_), PieceUpload::Contents::kCopied);
  ESPALIER_ASSIGN_OR_RETURN(LayerPieces pieces, PiecesAt(layer, attention_level, ffn_level, upload));
  try {
    upload.Start();
    upload.Await();
    return pieces;
  } catch (...) {
    return StatusOfCurrentException(device_);
  }
}

absl::StatusOr<LayerPieces> ResidentBank::PiecesAt(int layer, int attention_level, int ffn_level, PieceUpload& upload) const {
  if (layer < 0 || layer >= num_layers()) {
    return absl::InvalidArgumentError(absl::StrCat("layer ", layer, " of a level bank of ", num_layers(), " layers"));
  }
  ESPALIER_ASSIGN_OR_RETURN(LayerPieces pieces, layers_[layer].PiecesAt(dense_, attention_level, ffn_level));
  try {
    if (pieces.kept_neurons.defined()) pieces.kept_neurons = pieces.kept_neurons.to(device_, /*non_blocking=*/true);
    for (torch::Tensor* tensor : {&pieces.o_weight, &pieces.o_bias, &pieces.down_weight, &pieces.down_bias}) {
      *tensor = upload.Add(*tensor);
    }
    return pieces;
  } catch (...) {
    return StatusOfCurrentException(device_);
  }
}

absl::StatusOr<ResidentBank> ResidentBank::OnHost() const { return Create(dense_, layers_, device_, 0); }

HeadOrders ResidentBank::HeadOrdersOf() const {
  HeadOrders orders;
  for (const LayerBank& layer : layers_) orders.push_back(layer.attention.order);
  return orders;
}

}  // namespace espalier
