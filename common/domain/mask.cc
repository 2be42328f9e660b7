#include "common/domain/mask.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/check.h"
#include "common/base/sha256.h"

namespace espalier {
namespace {

constexpr int kMaskSchema = 1;

}  // namespace

std::string CanonicalBytes(const Ladder& ladder, const Mask& mask) {
  std::map<std::string, int> removed;
  for (size_t i = 0; i < ladder.units.size(); ++i)
    removed[Name(ladder.units[i].unit)] = ladder.units[i].removed[mask.levels[i]];
  std::string text = absl::StrCat("mask ", kMaskSchema, "\n");
  for (const auto& [unit, count] : removed) absl::StrAppend(&text, unit, " ", count, "\n");
  return text;
}

std::string Digest(const Ladder& ladder, const Mask& mask) { return Sha256Hex(CanonicalBytes(ladder, mask)); }

absl::Status Validate(const Ladder& ladder, const Mask& mask) {
  if (mask.levels.size() != ladder.units.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("the mask has ", mask.levels.size(), " levels, the ladder has ", ladder.units.size(), " units"));
  }
  for (size_t i = 0; i < mask.levels.size(); ++i) {
    const UnitLadder& unit = ladder.units[i];
    if (mask.levels[i] < 0 || mask.levels[i] >= unit.num_levels()) {
      return absl::InvalidArgumentError(absl::StrCat("the mask puts ", Name(unit.unit), " at level ", mask.levels[i],
                                                     ": its levels are 0 to ", unit.num_levels() - 1));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<Mask> MaskFromRemoved(const Ladder& ladder, const std::vector<std::pair<std::string, int>>& removed) {
  std::map<std::string, size_t> index_of;
  for (size_t i = 0; i < ladder.units.size(); ++i) index_of[Name(ladder.units[i].unit)] = i;
  Mask mask;
  mask.levels.assign(ladder.units.size(), 0);
  std::vector<bool> is_set(ladder.units.size(), false);
  for (const auto& [name, count] : removed) {
    const auto found = index_of.find(name);
    if (found == index_of.end()) {
      return absl::InvalidArgumentError(
          absl::StrCat("the mask names '", name, "', which this model does not have (units are attention[0] to ffn[",
                       ladder.units.size() / 2 - 1, "])"));
    }
    if (is_set[found->second]) return absl::InvalidArgumentError(absl::StrCat("the mask names ", name, " twice"));
    is_set[found->second] = true;
    const std::vector<int>& counts = ladder.units[found->second].removed;
    const auto level = std::lower_bound(counts.begin(), counts.end(), count);
    if (level == counts.end() || *level != count) {
      return absl::InvalidArgumentError(absl::StrCat("the mask removes ", count, " of ", name,
                                                     ": this ladder's counts are ", absl::StrJoin(counts, ", ")));
    }
    mask.levels[found->second] = static_cast<int>(level - counts.begin());
  }
  return mask;
}

std::vector<int> KeptHeads(const std::vector<int>& head_order, int removed) {
  ESPALIER_CHECK(removed >= 0 && removed <= static_cast<int>(head_order.size()));
  std::vector<int> kept(head_order.begin() + removed, head_order.end());
  std::sort(kept.begin(), kept.end());
  return kept;
}

LayerShape ShapeWithHeads(const ModelConfig& dense, const std::vector<int>& kept_heads, bool keep_kv_whole) {
  LayerShape shape;
  if (kept_heads.empty()) return shape;
  std::vector<int> new_index(dense.num_kv_heads, -1);
  for (int head : kept_heads) new_index[head / dense.heads_per_group()] = 0;
  for (int& index : new_index) {
    if (index == 0 || keep_kv_whole) index = shape.num_kv_heads++;
  }
  for (int head : kept_heads) shape.head_to_kv.push_back(new_index[head / dense.heads_per_group()]);
  return shape;
}

ModelConfig ApplyMask(const ModelConfig& dense, const Ladder& ladder, const Mask& mask, const HeadOrders& head_orders) {
  ESPALIER_CHECK(Validate(ladder, mask).ok());
  ModelConfig candidate = dense;
  candidate.layers.assign(dense.num_layers, DenseLayer(dense));
  for (size_t i = 0; i < ladder.units.size(); ++i) {
    const UnitLadder& unit = ladder.units[i];
    const int removed = unit.removed[mask.levels[i]];
    LayerShape& layer = candidate.layers[unit.unit.layer];
    if (unit.unit.kind == UnitKind::kFfn) {
      layer.ffn_width = unit.size - removed;
    } else if (removed == unit.size) {
      layer.head_to_kv.clear();
      layer.num_kv_heads = 0;
    } else if (removed > 0) {
      ESPALIER_CHECK(unit.unit.layer < static_cast<int>(head_orders.size()));
      LayerShape attention =
          ShapeWithHeads(dense, KeptHeads(head_orders[unit.unit.layer], removed), ladder.keep_kv_whole);
      layer.head_to_kv = std::move(attention.head_to_kv);
      layer.num_kv_heads = attention.num_kv_heads;
    }
  }
  return candidate;
}

}  // namespace espalier
