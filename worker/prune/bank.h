// The level bank of one layer: in which order its heads and neurons go and, for every level, what replaces the dense
// tensors. Shape letters as in language_model.h.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/domain/ladder.h"
#include "common/domain/model_config.h"
#include "worker/model/assemble.h"
#include "worker/model/language_model.h"
#include "worker/prune/statistics.h"

namespace espalier {

// What a level does to a tensor of its layer beyond the slices. The slices need no entry: every tensor that has a unit's
// heads or neurons as a dimension is cut to the kept ones, which follow from the order.
enum class EditKind { kReplacement, kAddition };
struct TensorEdit {
  std::string tensor;  // Hugging Face name within the layer, e.g. "self_attn.o_proj.weight"
  EditKind kind = EditKind::kReplacement;
  torch::Tensor value;  // number format of the checkpoint; columns in ascending dense order
};

struct LevelEntry {
  int removed = 0;           // query heads or neurons
  double squared_error = 0;  // mean squared output error per token of the unit's output projection, after rounding
  torch::Tensor kept;        // int64, ascending dense heads or neurons; follows from the order, so no file holds it
  std::vector<TensorEdit> edits;  // none at level 0 (intact) and at the last level (removed)
};

struct UnitBank {
  Unit unit;
  std::vector<int> order;  // all query heads or neurons in the order in which they go
  std::vector<LevelEntry> levels;
};

struct BankBuildSettings {
  std::string criterion = "structured_obs";
  std::string compensation = "least_squares";
  double damping = 0.01;
};

struct BankSeconds {
  double calibrate = 0;  // filled by whoever collected the statistics
  double order = 0;
  double solve = 0;  // compensation, rounding, errors
};

class LayerBank {
 public:
  int layer = 0;
  std::string ladder_digest;  // LadderDigest of the whole ladder
  BankBuildSettings settings;
  bool keep_kv_whole = false;
  NumberFormat number_format = NumberFormat::kBFloat16;
  UnitBank attention;
  UnitBank ffn;
  BankSeconds seconds;  // not part of the file: equal banks have equal bytes

  // What assembly needs of the layer at these levels: kAll at level 0, kNone at the last. With keep_kv_whole all KV heads
  // stay until the unit goes, else those that a kept query head reads. Tensors are shared with the bank.
  // kInvalidArgument when a level is not on the ladder.
  absl::StatusOr<LayerPieces> PiecesAt(const ModelConfig& dense, int attention_level, int ffn_level) const;

  int64_t Bytes() const;  // of all edits
  // With its tensors there; `pin`: in page-locked memory when that is the host's.
  LayerBank To(torch::Device device, bool pin) const;
};

// Sets every level's `kept` from the order and the removed counts.
void FillKept(UnitBank& unit, torch::Device device);

// Builds one layer's bank from its statistics. Deterministic: with one thread on one instruction set, bitwise.
// kInvalidArgument names an unknown criterion or compensation, or statistics that cannot be used; kCancelled;
// kResourceExhausted when the device's memory does not suffice.
absl::StatusOr<LayerBank> BuildLayerBank(const LanguageModel& dense, const LayerStatistics& statistics, const Ladder& ladder,
                                         const BankBuildSettings& settings, const BankProgress& progress, std::stop_token stop);

// One safetensors file a layer. Deterministic bytes.
std::string SerializeLayerBank(const LayerBank& bank);

// Reads with distrust: everything is checked against the dense model's config and the ladder before use; `name` stands for
// the file in messages. kDataLoss when the content contradicts itself, kFailedPrecondition when it is a whole bank of
// another model or ladder. Tensors are copied to the device; ResidentBank decides what stays there.
absl::StatusOr<LayerBank> ParseLayerBank(std::string_view bytes, const std::string& name, const ModelConfig& dense, const Ladder& ladder,
                                         int layer, torch::Device device);

}  // namespace espalier
