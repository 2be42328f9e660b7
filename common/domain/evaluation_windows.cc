#include "common/domain/evaluation_windows.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace espalier {

absl::StatusOr<std::vector<int64_t>> EvaluationWindows(int64_t num_tokens, int sequence_length, int64_t wanted) {
  if (sequence_length < 2) {
    return absl::InvalidArgumentError(
        absl::StrCat("a sequence length of ", sequence_length, " leaves nothing to predict; at least 2 is needed"));
  }
  if (wanted < 0) {
    return absl::InvalidArgumentError(absl::StrCat("the number of evaluation windows is ", wanted, "; 0 means all"));
  }
  const int64_t num_windows = num_tokens / sequence_length;
  if (num_windows == 0) {
    return absl::InvalidArgumentError(absl::StrCat("the evaluation tokens are too few: ", num_tokens,
                                                   " tokens, one window of the sequence length needs ",
                                                   sequence_length));
  }
  const int64_t count = wanted == 0 ? num_windows : std::min(wanted, num_windows);
  std::vector<int64_t> windows;
  windows.reserve(count);
  for (int64_t i = 0; i < count; ++i) {
    // i * num_windows / count without overflow for any file that exists.
    windows.push_back((num_windows / count) * i + (num_windows % count) * i / count);
  }
  return windows;
}

}  // namespace espalier
