// From steps (pieces of windows) to tensors. A step is computed in one or more batches whose gradients add up. Exact
// batches have the pieces' own lengths; static ones are padded to one layout for all steps and masked.
// Shape letters: B rows, L positions, N = B * L, S steps, P passes of a step, W windows.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "common/domain/windows.h"
#include "worker/train/train_data.h"

namespace espalier {

struct StepBatch {
  torch::Tensor tokens_BL;          // int64; padding is token 0
  torch::Tensor targets_BL;         // int64; -1 where there is no prediction
  torch::Tensor teacher_hidden_ND;  // of the same positions; undefined when there is no cache
  torch::Tensor weight;  // share of the step's predictions, fp32 scalar; undefined: all of them are in this batch
};

// Sizes of a static step.
struct StepLayout {
  int64_t passes = 1;
  int64_t rows = 1;    // of one pass
  int64_t length = 1;  // of a row
  bool operator==(const StepLayout&) const = default;
  bool Holds(const StepLayout& other) const {
    return length >= other.length && rows >= other.rows && passes >= other.passes;
  }
};

// Rows as long as the longest piece, as many as the tokens of the largest step fill; at most micro_batch_tokens (0: no
// limit) in a pass, one row at least. A step of many short pieces may need more rows: paying for them in all steps is
// worse than running that one exactly.
StepLayout LayoutOf(const std::vector<Step>& steps, int64_t micro_batch_tokens);
bool Holds(const StepLayout& layout, const Step& step);

int64_t Tokens(const Step& step);
int64_t Predictions(const Step& step);  // a piece of n tokens predicts n - 1

// kInvalidArgument names the first window that the data lacks, or the piece that leaves its window.
absl::Status CheckSteps(const std::vector<Step>& steps, const TrainData& data);

// The step in batches of pieces of equal length, at their own length; the steps must have been checked.
std::vector<StepBatch> ExactBatches(const Step& step, const TrainData& data, int64_t micro_batch_tokens);

// Tensors of several static steps, made in one go on the device. Those of steps that the layout does not hold are not
// whole.
struct StaticSteps {
  torch::Tensor tokens_SPBL;
  torch::Tensor targets_SPBL;
  torch::Tensor sources_SPN;  // positions in the flattened windows, for gathering the teacher's hidden states
  torch::Tensor weights_SP;
};
StaticSteps MakeStaticSteps(const std::vector<Step>& steps, size_t first, size_t count, const StepLayout& layout,
                            const TrainData& data);

// Rows `sources_N` of the flattened teacher states, into `out_ND` when that is defined.
torch::Tensor GatherTeacher(const TrainData& data, const torch::Tensor& sources_N, torch::Tensor out_ND);

}  // namespace espalier
