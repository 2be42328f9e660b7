// One layer's bank file in the pieces that it lies in, so that gigabytes are not copied once more to be stored.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "worker/prune/bank.h"

namespace espalier {

class LayerBankPieces {
 public:
  // Tensors on a device are copied to page-locked memory, which the next layer's pieces use again. Throws what LibTorch
  // throws when memory ends.
  explicit LayerBankPieces(const LayerBank& bank);
  LayerBankPieces(const LayerBankPieces&) = delete;
  LayerBankPieces& operator=(const LayerBankPieces&) = delete;

  // One after the other they are SerializeLayerBank's bytes; they live as long as this object.
  const std::vector<std::string_view>& pieces() const { return pieces_; }
  int64_t bytes() const;

 private:
  std::string header_;
  std::vector<torch::Tensor> hosts_;
  std::vector<std::string_view> pieces_;
};

}  // namespace espalier
