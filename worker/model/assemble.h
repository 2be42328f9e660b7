// Assembly: a physically smaller candidate from the dense model on the device and, for each layer, what stays. Slices are
// taken on the device; nothing reads the disk and the dense model is never copied as a whole.
#pragma once

#include <torch/types.h>

#include <vector>

#include "absl/status/statusor.h"
#include "worker/model/language_model.h"

namespace espalier {

enum class Keep { kAll, kSome, kNone };

// What stays of one layer. The default is an intact layer.
struct LayerPieces {
  Keep attention = Keep::kAll;
  std::vector<int> kept_heads;     // kSome: dense query heads, ascending
  std::vector<int> kept_kv_heads;  // kSome: dense KV heads, ascending; must hold those that the kept heads read
  torch::Tensor o_weight;          // [D, kept heads * K], compensated; undefined: columns of the dense weight
  torch::Tensor o_bias;            // [D]; undefined: the dense bias (if any)

  Keep ffn = Keep::kAll;
  torch::Tensor kept_neurons;  // kSome: int64 on the dense model's device, ascending
  torch::Tensor down_weight;   // [D, kept neurons], compensated; undefined: columns of the dense weight
  torch::Tensor down_bias;     // [D]; undefined: the dense bias (if any)
};

// The compensated tensors of the pieces are used as they are (shared), so are the dense tensors of intact units, the
// norms, the embedding and the head: the result is for reading, a trainer copies what it changes. Compensated tensors are
// cast to the dense model's dtype. `pieces` has one entry for each layer. kInvalidArgument names layer, unit and value when
// pieces do not fit the dense model. kResourceExhausted when the device is out of memory.
absl::StatusOr<LanguageModel> Assemble(const LanguageModel& dense, const std::vector<LayerPieces>& pieces);

// The dense model with one layer replaced, for scoring units alone.
absl::StatusOr<LanguageModel> AssembleWithLayer(const LanguageModel& dense, int layer, const LayerPieces& pieces);

// Copies q, k, v and gate, up into qkv_weight and gate_up_weight (see AttentionWeights) and makes the single tensors views
// of them: fewer, larger matrix products.
void FuseProjections(LanguageModel& model);

}  // namespace espalier
