#include "common/domain/ladder.h"

#include <algorithm>
#include <cstdint>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "common/base/status_macros.h"

namespace espalier {
namespace {

constexpr int kMaxDefaultLevels = 17;

// Removed counts of at most `levels` levels, evenly spaced; kept counts are rounded to the nearest multiple (half goes
// up), so the published grids of 11 levels come out exactly. Levels that would coincide are merged.
std::vector<int> EvenLevels(int size, int multiple, int levels) {
  std::vector<int> removed = {0};
  const int64_t steps = levels - 1;
  for (int64_t k = 1; k < steps; ++k) {
    const int64_t kept_times_steps = int64_t{size} * (steps - k);
    const int64_t kept = (2 * kept_times_steps + multiple * steps) / (2 * multiple * steps) * multiple;
    const int candidate = size - static_cast<int>(kept);
    if (candidate > removed.back() && candidate < size) removed.push_back(candidate);
  }
  removed.push_back(size);
  return removed;
}

absl::Status CheckExplicit(const char* option, const std::vector<int>& removed, int size, int multiple, bool of_kept) {
  const auto error = [&](const std::string& what) {
    return absl::InvalidArgumentError(
        absl::StrCat("ladder.", option, " is [", absl::StrJoin(removed, ", "), "]: ", what));
  };
  if (removed.size() < 2 || removed.front() != 0)
    return error("it must start with 0 (intact) and have at least two levels");
  if (removed.back() != size) return error(absl::StrCat("its last level must remove the whole unit, ", size));
  for (size_t k = 1; k < removed.size(); ++k) {
    if (removed[k] <= removed[k - 1])
      return error(absl::StrCat("counts must rise, ", removed[k], " follows ", removed[k - 1]));
    const int measured = of_kept ? size - removed[k] : removed[k];
    if (measured % multiple != 0) {
      return error(absl::StrCat(removed[k], " removed ", of_kept ? "leaves a width" : "is a number of query heads",
                                " that is no multiple of ", multiple,
                                of_kept ? " (ladder.width_multiple)" : " (the heads of a KV group)"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<int>> AttentionLevels(const ModelConfig& dense, const LadderOptions& options) {
  const int step = options.head_granularity == HeadGranularity::kKvGroup ? dense.heads_per_group() : 1;
  if (!options.attention_removed.empty()) {
    ESPALIER_RETURN_IF_ERROR(
        CheckExplicit("attention_removed", options.attention_removed, dense.num_heads, step, false));
    return options.attention_removed;
  }
  const int possible = dense.num_heads / step + 1;
  const int wanted = options.attention_levels == 0 ? kMaxDefaultLevels : options.attention_levels;
  return EvenLevels(dense.num_heads, step, std::min(wanted, possible));
}

absl::StatusOr<std::vector<int>> FfnLevels(const ModelConfig& dense, const LadderOptions& options) {
  if (!options.ffn_removed.empty()) {
    ESPALIER_RETURN_IF_ERROR(
        CheckExplicit("ffn_removed", options.ffn_removed, dense.ffn_width, options.width_multiple, true));
    return options.ffn_removed;
  }
  const int possible = (dense.ffn_width + options.width_multiple - 1) / options.width_multiple + 1;
  const int wanted = options.ffn_levels == 0 ? kMaxDefaultLevels : options.ffn_levels;
  return EvenLevels(dense.ffn_width, options.width_multiple, std::min(wanted, possible));
}

absl::Status CheckOptions(const ModelConfig& dense, const LadderOptions& options) {
  if (options.attention_levels != 0 && options.attention_levels < 2) {
    return absl::InvalidArgumentError(absl::StrCat("ladder.attention_levels is ", options.attention_levels,
                                                   ": it must be at least 2 (0: the default)"));
  }
  if (options.ffn_levels != 0 && options.ffn_levels < 2) {
    return absl::InvalidArgumentError(
        absl::StrCat("ladder.ffn_levels is ", options.ffn_levels, ": it must be at least 2 (0: the default)"));
  }
  if (options.width_multiple < 1 || options.width_multiple > dense.ffn_width) {
    return absl::InvalidArgumentError(absl::StrCat("ladder.width_multiple is ", options.width_multiple,
                                                   ": it must lie between 1 and the FFN width ", dense.ffn_width));
  }
  if (options.keep_kv_whole && options.head_granularity == HeadGranularity::kKvGroup) {
    return absl::InvalidArgumentError(
        "ladder.keep_kv_whole is set: it needs ladder.head_granularity HEAD, KV_GROUP removes KV heads with their "
        "group");
  }
  return absl::OkStatus();
}

}  // namespace

std::string Name(const Unit& unit) {
  return absl::StrCat(unit.kind == UnitKind::kAttention ? "attention[" : "ffn[", unit.layer, "]");
}

absl::StatusOr<Unit> ParseUnit(const std::string& name) {
  absl::string_view text = name;
  Unit unit;
  if (absl::ConsumePrefix(&text, "attention[")) {
    unit.kind = UnitKind::kAttention;
  } else if (absl::ConsumePrefix(&text, "ffn[")) {
    unit.kind = UnitKind::kFfn;
  } else {
    text = "";
  }
  const bool is_closed = absl::ConsumeSuffix(&text, "]");
  if (!is_closed || !absl::SimpleAtoi(text, &unit.layer) || unit.layer < 0 || Name(unit) != name) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", name, "' is no unit: units are written attention[3] or ffn[3]"));
  }
  return unit;
}

absl::StatusOr<Ladder> BuildLadder(const ModelConfig& dense, const LadderOptions& options) {
  ESPALIER_RETURN_IF_ERROR(CheckOptions(dense, options));
  ESPALIER_ASSIGN_OR_RETURN(const std::vector<int> attention, AttentionLevels(dense, options));
  ESPALIER_ASSIGN_OR_RETURN(const std::vector<int> ffn, FfnLevels(dense, options));
  Ladder ladder;
  ladder.head_granularity = options.head_granularity;
  ladder.keep_kv_whole = options.keep_kv_whole;
  for (int layer = 0; layer < dense.num_layers; ++layer) {
    ladder.units.push_back({{UnitKind::kAttention, layer}, dense.num_heads, attention});
    ladder.units.push_back({{UnitKind::kFfn, layer}, dense.ffn_width, ffn});
  }
  return ladder;
}

}  // namespace espalier
