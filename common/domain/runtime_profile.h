// What a runtime can load. A job that names one gets ladders with nothing else in them, so that no search ends in a model
// that nothing serves. Sources: llama.cpp's `deci` architecture, vLLM's nemotron_nas, vLLM's AnyModel adapter.
#pragma once

#include "absl/status/statusor.h"
#include "common/domain/job.h"
#include "common/domain/ladder.h"
#include "common/domain/model_config.h"

namespace espalier {

// The options as far as the runtime allows: NEMOTRON_NAS raises width_multiple to a multiple of 256. kInvalidArgument
// names the option and the runtime where they cannot be reconciled:
//   GGUF           whole KV groups (inside a layer, query heads must be a multiple of KV heads); no q/k norms
//   NEMOTRON_NAS   all query heads or none (their number is global); FFN widths multiples of 256; no q/k norms
//   VLLM_ANYMODEL  whole KV groups (a layer has its own numbers of heads, but no map from query to KV heads)
absl::StatusOr<LadderOptions> RestrictToRuntime(const ModelConfig& dense, const LadderOptions& options, Runtime runtime);

// BuildLadder of the restricted options. GGUF and NEMOTRON_NAS take the head size from layer 0, whose attention must
// therefore stay: that unit is pinned, its only level is 0 (a ladder's last level always removes its unit).
absl::StatusOr<Ladder> BuildLadderForRuntime(const ModelConfig& dense, const LadderOptions& options, Runtime runtime);

}  // namespace espalier
