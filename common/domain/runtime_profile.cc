#include "common/domain/runtime_profile.h"

#include <numeric>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/domain/runtime_refusal.h"

namespace espalier {
namespace {

constexpr int kNemotronWidth = 256;

absl::Status RequireRegularGroups(const ModelConfig& dense, const LadderOptions& options, Runtime runtime) {
  if (options.keep_kv_whole) {
    return RefuseForRuntime(
        runtime,
        "ladder.keep_kv_whole leaves KV heads without an equal number of query heads, which it cannot load; unset it");
  }
  if (options.head_granularity == HeadGranularity::kHead && dense.heads_per_group() > 1) {
    return RefuseForRuntime(runtime, "ladder.head_granularity HEAD leaves uneven KV groups, which it cannot load; use KV_GROUP");
  }
  return absl::OkStatus();
}

absl::Status RefuseQkNorm(const ModelConfig& dense, Runtime runtime) {
  if (!dense.qk_norm) return absl::OkStatus();
  return RefuseForRuntime(runtime, absl::StrCat("the model (", Name(dense.family),
                                      ") has q/k norms, which it cannot load; use HUGGING_FACE or VLLM_ANYMODEL"));
}

absl::StatusOr<LadderOptions> RestrictToNemotron(const ModelConfig& dense, const LadderOptions& options) {
  const Runtime runtime = Runtime::kNemotronNas;
  ESPALIER_RETURN_IF_ERROR(RefuseQkNorm(dense, runtime));
  if (dense.ffn_width % kNemotronWidth != 0) {
    return RefuseForRuntime(runtime, absl::StrCat("the model's FFN width ", dense.ffn_width, " is no multiple of ",
                                        kNemotronWidth, ", as its widths must be"));
  }
  for (int removed : options.attention_removed) {
    if (removed != 0 && removed != dense.num_heads) {
      return RefuseForRuntime(runtime, absl::StrCat("ladder.attention_removed has ", removed, ": a layer keeps all ",
                                          dense.num_heads, " query heads or none"));
    }
  }
  LadderOptions restricted = options;
  restricted.head_granularity = HeadGranularity::kKvGroup;
  restricted.keep_kv_whole = false;
  restricted.attention_removed = {0, dense.num_heads};
  restricted.width_multiple = std::lcm(options.width_multiple, kNemotronWidth);
  return restricted;
}

}  // namespace

absl::StatusOr<LadderOptions> RestrictToRuntime(const ModelConfig& dense, const LadderOptions& options,
                                                Runtime runtime) {
  switch (runtime) {
    case Runtime::kHuggingFace: return options;
    case Runtime::kGguf:
      ESPALIER_RETURN_IF_ERROR(RefuseQkNorm(dense, runtime));
      ESPALIER_RETURN_IF_ERROR(RequireRegularGroups(dense, options, runtime));
      return options;
    case Runtime::kNemotronNas: return RestrictToNemotron(dense, options);
    case Runtime::kVllmAnyModel:
      ESPALIER_RETURN_IF_ERROR(RequireRegularGroups(dense, options, runtime));
      return options;
  }
  return absl::InvalidArgumentError(absl::StrCat("runtime ", static_cast<int>(runtime), " is not known"));
}

absl::StatusOr<Ladder> BuildLadderForRuntime(const ModelConfig& dense, const LadderOptions& options, Runtime runtime) {
  ESPALIER_ASSIGN_OR_RETURN(const LadderOptions restricted, RestrictToRuntime(dense, options, runtime));
  ESPALIER_ASSIGN_OR_RETURN(Ladder ladder, BuildLadder(dense, restricted));
  if (runtime == Runtime::kGguf || runtime == Runtime::kNemotronNas) ladder.units.front().removed = {0};
  return ladder;
}

}  // namespace espalier
