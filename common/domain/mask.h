// The mask is the genome: one level for each unit of a ladder.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "common/domain/ladder.h"

namespace espalier {

struct Mask {
  std::vector<int> levels;  // one for each unit of the ladder, in the ladder's order
  bool operator==(const Mask&) const = default;
};

// A schema number and the sorted (unit name, removed count) pairs: neither ladder nor target are in it.
std::string CanonicalBytes(const Ladder& ladder, const Mask& mask);

// SHA-256 of the canonical bytes, in hexadecimal.
std::string Digest(const Ladder& ladder, const Mask& mask);

// kInvalidArgument when the number of levels or a level does not fit the ladder.
absl::Status Validate(const Ladder& ladder, const Mask& mask);

// For a ladder whose removed counts include those of `removed` (by unit name); units not named stay intact.
absl::StatusOr<Mask> MaskFromRemoved(const Ladder& ladder, const std::vector<std::pair<std::string, int>>& removed);

// In which order the query heads of each layer go, from the level bank; removing r heads removes the first r.
using HeadOrders = std::vector<std::vector<int>>;  // by layer

// The heads that stay when the first `removed` of the order have gone, ascending.
std::vector<int> KeptHeads(const std::vector<int>& head_order, int removed);

// Heads and KV heads of a layer that keeps these dense query heads (ascending); its ffn_width is left 0.
LayerShape ShapeWithHeads(const ModelConfig& dense, const std::vector<int>& kept_heads, bool keep_kv_whole);

// The shape of the candidate. FFN neurons matter only by number here; heads by identity, because KV heads that no kept
// query head reads are dropped.
ModelConfig ApplyMask(const ModelConfig& dense, const Ladder& ladder, const Mask& mask, const HeadOrders& head_orders);

}  // namespace espalier
