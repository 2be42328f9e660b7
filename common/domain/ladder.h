// Units and ladders: what can be removed from a model, in which steps.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/domain/model_config.h"

namespace espalier {

enum class UnitKind { kAttention, kFfn };

struct Unit {
  UnitKind kind = UnitKind::kAttention;
  int layer = 0;
  bool operator==(const Unit&) const = default;
};

std::string Name(const Unit& unit);                       // "attention[3]", "ffn[3]"
absl::StatusOr<Unit> ParseUnit(const std::string& name);  // kInvalidArgument names the text

enum class HeadGranularity { kHead, kKvGroup };

struct LadderOptions {
  HeadGranularity head_granularity = HeadGranularity::kKvGroup;
  // DarwinLM leaves k and v whole until the whole unit goes; otherwise KV heads that no query head uses are dropped.
  bool keep_kv_whole = false;
  // Levels are evenly spaced; a model with fewer heads (groups, width multiples) than that gets as many as it has.
  int attention_levels = 0;  // 0: one level a head (or group), at most 17
  int ffn_levels = 0;        // 0: one level a width multiple, at most 17
  int width_multiple = 32;   // kept FFN widths are multiples of it
  std::vector<int> attention_removed = {};  // explicit removed query heads by level, instead of attention_levels
  std::vector<int> ffn_removed = {};        // explicit removed neurons by level, instead of ffn_levels
  bool operator==(const LadderOptions&) const = default;
};

// Level k of a unit removes removed[k] query heads (also with kKvGroup, then a multiple of the group size) or neurons.
// removed[0] == 0, strictly rising, removed.back() == size: the last level removes the unit altogether. A unit that a
// runtime profile (runtime_profile.h) pins has the one level {0} instead.
struct UnitLadder {
  Unit unit;
  int size = 0;
  std::vector<int> removed;
  int num_levels() const { return static_cast<int>(removed.size()); }
  bool operator==(const UnitLadder&) const = default;
};

struct Ladder {
  HeadGranularity head_granularity = HeadGranularity::kKvGroup;
  bool keep_kv_whole = false;
  std::vector<UnitLadder> units;  // attention[0], ffn[0], attention[1], ...
  bool operator==(const Ladder&) const = default;
};

// kInvalidArgument names the option and the value (counts that do not rise, a width that is no multiple, ...).
absl::StatusOr<Ladder> BuildLadder(const ModelConfig& dense, const LadderOptions& options);

}  // namespace espalier
