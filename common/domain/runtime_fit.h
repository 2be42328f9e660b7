// Whether a runtime can load a model of these shapes, judged from the shapes alone: what the export writers refuse and
// what the ladders of runtime_profile.h must never lead to. Sources: llama.cpp's `deci` architecture, vLLM's
// nemotron_nas, vLLM's AnyModel adapter.
#pragma once

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/domain/job.h"
#include "common/domain/model_config.h"

namespace espalier {

// kInvalidArgument names the runtime, the unit that does not fit, its numbers and what would fit:
//   GGUF           attention[0] stays (the head size is read there); query heads share their layer's KV heads evenly and
//                  in order; no q/k norms
//   NEMOTRON_NAS   one number of query heads in all layers that have any, shared evenly; FFN widths that the ffn_mult
//                  rule gives back exactly; the first layer that keeps anything keeps its attention; no q/k norms
//   VLLM_ANYMODEL  query heads share their layer's KV heads evenly and in order
absl::Status CheckRuntimeFits(const ModelConfig& candidate, Runtime runtime);

// Query heads read the layer's KV heads in equal, consecutive shares (also true of a removed unit).
bool SharesKvEvenly(const LayerShape& layer);

// The ffn_mult that Nemotron-NAS readers turn back into `width` by roundup256(int(2 * ffn_mult * hidden / 3)). Its value
// lies in the middle of the bucket, so that no rounding of the product leaves it. kInvalidArgument when none does.
absl::StatusOr<double> FfnMultOf(int width, int hidden_size);

}  // namespace espalier
