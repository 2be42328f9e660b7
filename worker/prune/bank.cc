#include "worker/prune/bank.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "worker/prune/layer_tensors.h"

namespace espalier {
namespace {

absl::Status CheckLevel(const UnitBank& unit, int level) {
  const int num_levels = static_cast<int>(unit.levels.size());
  if (level >= 0 && level < num_levels) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(Name(unit.unit), ": level ", level, " is not among its ", num_levels, " levels"));
}

Keep KeepAt(const UnitBank& unit, int level) {
  if (level == 0) return Keep::kAll;
  return level + 1 == static_cast<int>(unit.levels.size()) ? Keep::kNone : Keep::kSome;
}

// Replacement and addition differ in what the dense layer has, not in what assembly does with them.
torch::Tensor Edited(const LevelEntry& entry, const char* tensor) {
  for (const TensorEdit& edit : entry.edits) {
    if (edit.tensor == tensor) return edit.value;
  }
  return torch::Tensor();
}

std::vector<int> Ascending(const std::vector<int>& order, int removed) {
  std::vector<int> kept(order.begin() + removed, order.end());
  std::sort(kept.begin(), kept.end());
  return kept;
}

std::vector<int> KvHeadsOf(const ModelConfig& dense, const std::vector<int>& kept_heads, bool keep_all) {
  std::vector<int> kept;
  if (keep_all) {
    for (int head = 0; head < dense.num_kv_heads; ++head) kept.push_back(head);
    return kept;
  }
  for (const int head : kept_heads) {
    const int kv_head = head / dense.heads_per_group();
    if (kept.empty() || kept.back() != kv_head) kept.push_back(kv_head);
  }
  return kept;
}

int64_t BytesOfEdits(const UnitBank& unit) {
  int64_t bytes = 0;
  for (const LevelEntry& level : unit.levels) {
    for (const TensorEdit& edit : level.edits) bytes += static_cast<int64_t>(edit.value.nbytes());
  }
  return bytes;
}

torch::Tensor Moved(const torch::Tensor& tensor, torch::Device device, bool pin) {
  if (!pin || !device.is_cpu()) return tensor.to(device);
  if (tensor.is_cpu() && tensor.is_pinned()) return tensor;
  return torch::empty(tensor.sizes(), tensor.options().device(device).pinned_memory(true)).copy_(tensor);
}

void MoveUnit(UnitBank& unit, torch::Device device, bool pin) {
  for (LevelEntry& level : unit.levels) {
    level.kept = Moved(level.kept, device, pin);
    for (TensorEdit& edit : level.edits) edit.value = Moved(edit.value, device, pin);
  }
}

}  // namespace

absl::StatusOr<LayerPieces> LayerBank::PiecesAt(const ModelConfig& dense, int attention_level, int ffn_level) const {
  ESPALIER_RETURN_IF_ERROR(CheckLevel(attention, attention_level));
  ESPALIER_RETURN_IF_ERROR(CheckLevel(ffn, ffn_level));
  LayerPieces pieces;
  pieces.attention = KeepAt(attention, attention_level);
  if (pieces.attention == Keep::kSome) {
    const LevelEntry& entry = attention.levels[attention_level];
    pieces.kept_heads = Ascending(attention.order, entry.removed);
    pieces.kept_kv_heads = KvHeadsOf(dense, pieces.kept_heads, keep_kv_whole);
    pieces.o_weight = Edited(entry, kOWeight);
    pieces.o_bias = Edited(entry, kOBias);
  }
  pieces.ffn = KeepAt(ffn, ffn_level);
  if (pieces.ffn == Keep::kSome) {
    const LevelEntry& entry = ffn.levels[ffn_level];
    pieces.kept_neurons = entry.kept;
    pieces.down_weight = Edited(entry, kDownWeight);
    pieces.down_bias = Edited(entry, kDownBias);
  }
  return pieces;
}

int64_t LayerBank::Bytes() const { return BytesOfEdits(attention) + BytesOfEdits(ffn); }

LayerBank LayerBank::To(torch::Device device, bool pin) const {
  LayerBank moved = *this;
  MoveUnit(moved.attention, device, pin);
  MoveUnit(moved.ffn, device, pin);
  return moved;
}

void FillKept(UnitBank& unit, torch::Device device) {
  for (LevelEntry& level : unit.levels) {
    const std::vector<int> kept = Ascending(unit.order, level.removed);
    level.kept = torch::tensor(kept, torch::kInt64).to(device);
  }
}

}  // namespace espalier
