// What a training run reads: windows of tokens on the device and, for losses towards the dense model, that model.
// Shape letters: W windows, L positions, D hidden.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <unordered_map>

#include "worker/model/language_model.h"

namespace espalier {

struct TrainData {
  // Windows of the token file, on the candidate's device; int32 or int64. Row r holds the window whose file index is the
  // key of r in `row_of_window`; when that map is empty, window w is row w.
  torch::Tensor tokens_WL;
  std::unordered_map<int64_t, int64_t> row_of_window;

  // The dense model, for Loss::kKl and Loss::kBoth; else unused and may be null.
  const LanguageModel* teacher = nullptr;
  // The teacher's final hidden states (after its last norm) of every row of tokens_WL, made once and shared by all
  // candidates of a draw. Undefined: the teacher runs beside the candidate in every step, on the same pieces.
  torch::Tensor teacher_hidden_WLD;
};

}  // namespace espalier
