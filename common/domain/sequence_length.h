// Whether a model can be run on windows of a length. Full attention over a window that fits into the sliding window is
// the same as sliding attention, so such models are usable up to that length and refused beyond it.
#pragma once

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/domain/model_config.h"

namespace espalier {

// kInvalidArgument when `length` is below 2, beyond the model's positions or beyond its sliding window.
inline absl::Status CheckSequenceLength(const ModelConfig& config, int length) {
  if (length < 2)
    return absl::InvalidArgumentError(
        absl::StrCat("sequence length ", length, " leaves nothing to predict; use at least 2"));
  if (config.max_positions > 0 && length > config.max_positions) {
    return absl::InvalidArgumentError(absl::StrCat("sequence length ", length,
                                                   " is more than the model's max_position_embeddings ",
                                                   config.max_positions, "; use a shorter one"));
  }
  if (config.sliding_window > 0 && length > config.sliding_window) {
    return absl::InvalidArgumentError(
        absl::StrCat("sequence length ", length, " is more than the model's sliding_window ", config.sliding_window,
                     ", and sliding attention is not supported; use at most ", config.sliding_window));
  }
  return absl::OkStatus();
}

}  // namespace espalier
