// Two result files of espalier-bench side by side.
#pragma once

#include <string>

#include "absl/status/statusor.h"

namespace espalier::bench {

// A table of every figure that both files have: one line a figure, rows in their order, with the second by the first. Rows belong together
// when they are at the same place and say the same words (way, mode, ...). kNotFound for a file that is not there,
// kInvalidArgument for one that is no result file, or of another benchmark than the first.
absl::StatusOr<std::string> CompareResults(const std::string& first_path, const std::string& second_path);

}  // namespace espalier::bench
