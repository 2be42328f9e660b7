// A model folder as one GGUF file for llama.cpp, with the `deci` architecture, whose layers have widths of their own.
#pragma once

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "common/checkpoint/gguf_header.h"
#include "common/checkpoint/model_folder.h"

namespace espalier::checkpoint {

struct GgufOptions {
  std::optional<GgufType> type;    // of the matrices; none: as the folder stores them
  bool without_tokenizer = false;  // token ids only
};

// Norms and biases are written in F32. With kQ8 a matrix whose rows are no multiple of 32 long is written in F16. A
// sliding window becomes the context length, within which it changes nothing. Where llama.cpp's graph would lose an
// attention beside a removed FFN, an FFN of 32 zero neurons stands in its place.
// kInvalidArgument names the unit that does not fit (CheckRuntimeFits) or the tokenizer's rule; the file appears whole
// or not at all.
absl::Status WriteGguf(const ModelFolder& model, const GgufOptions& options, const std::string& path);

// "f32", "f16", "bf16", "q8_0", "auto" (none); kInvalidArgument lists them.
absl::StatusOr<std::optional<GgufType>> ParseGgufType(const std::string& name);

}  // namespace espalier::checkpoint
