// Which windows of an evaluation token file a perplexity is measured over. One rule for the engine, for `evaluate` and for
// anyone who wants to check a figure in another tool.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"

namespace espalier {

// The file is flattened and cut into non-overlapping windows of sequence_length tokens, the tail dropped. `wanted` 0 or
// at least as many as there are: all of them; otherwise the windows floor(i * num_windows / wanted), i = 0 .. wanted - 1,
// spread evenly over the file. Ascending file indices. kInvalidArgument, with the numbers, when the file holds no whole
// window, or a length or count is not usable.
absl::StatusOr<std::vector<int64_t>> EvaluationWindows(int64_t num_tokens, int sequence_length, int64_t wanted);

}  // namespace espalier
