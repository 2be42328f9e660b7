#include "worker/train/step_batches.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/index_select.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/where.h>

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace espalier {
namespace {

// Where a row's tokens come from; length 0 is an empty row.
struct RowSource {
  int64_t row = 0;  // of tokens_WL
  int64_t begin = 0;
  int64_t length = 0;
};

RowSource SourceOf(const Piece& piece, const TrainData& data) {
  const int64_t row = data.row_of_window.empty() ? piece.window : data.row_of_window.at(piece.window);
  return {row, piece.begin, piece.length};
}

struct Rows {
  torch::Tensor tokens_BL, targets_BL, sources_BL;
};

// A few small kernels, whatever the number of rows; one copy of three numbers a row from the host.
Rows Gather(const std::vector<RowSource>& sources, int64_t length, const TrainData& data) {
  const torch::Tensor& tokens_WL = data.tokens_WL;
  const int64_t window_length = tokens_WL.size(1);
  std::vector<int64_t> first, last, count;
  for (const RowSource& source : sources) {
    first.push_back(source.row * window_length + source.begin);
    last.push_back(source.row * window_length + source.begin + std::max<int64_t>(source.length, 1) - 1);
    count.push_back(source.length);
  }
  const auto on_device = [&](const std::vector<int64_t>& numbers) {
    return torch::tensor(numbers, torch::kInt64).to(tokens_WL.device()).unsqueeze(1);
  };
  const torch::Tensor first_B1 = on_device(first), last_B1 = on_device(last), count_B1 = on_device(count);
  const torch::Tensor positions_L = at::arange(length, tokens_WL.options().dtype(torch::kInt64));
  const torch::Tensor flat = tokens_WL.reshape({-1});
  Rows rows;
  rows.sources_BL = at::minimum(first_B1 + positions_L, last_B1);
  const torch::Tensor next_BL = at::minimum(first_B1 + positions_L + 1, last_B1);
  const auto tokens_at = [&](const torch::Tensor& index_BL) {
    return flat.index_select(0, index_BL.reshape(-1)).to(torch::kInt64).view(index_BL.sizes());
  };
  rows.tokens_BL = tokens_at(rows.sources_BL).masked_fill_(positions_L >= count_B1, 0);
  rows.targets_BL = tokens_at(next_BL).masked_fill_(positions_L + 1 >= count_B1, -1);
  return rows;
}

}  // namespace

int64_t Tokens(const Step& step) {
  int64_t sum = 0;
  for (const Piece& piece : step) sum += piece.length;
  return sum;
}

int64_t Predictions(const Step& step) {
  int64_t sum = 0;
  for (const Piece& piece : step) sum += piece.length - 1;
  return sum;
}

StepLayout LayoutOf(const std::vector<Step>& steps, int64_t micro_batch_tokens) {
  int64_t length = 1, tokens = 1;
  for (const Step& step : steps) {
    tokens = std::max(tokens, Tokens(step));
    for (const Piece& piece : step) length = std::max<int64_t>(length, piece.length);
  }
  const int64_t rows = (tokens + length - 1) / length;
  StepLayout layout{1, rows, length};
  if (micro_batch_tokens > 0) {
    const int64_t most_rows = std::max<int64_t>(1, micro_batch_tokens / length);
    layout.passes = (rows + most_rows - 1) / most_rows;
    layout.rows = (rows + layout.passes - 1) / layout.passes;
  }
  return layout;
}

bool Holds(const StepLayout& layout, const Step& step) {
  if (static_cast<int64_t>(step.size()) > layout.passes * layout.rows) return false;
  return std::all_of(step.begin(), step.end(), [&](const Piece& piece) { return piece.length <= layout.length; });
}

absl::Status CheckSteps(const std::vector<Step>& steps, const TrainData& data) {
  const int64_t num_rows = data.tokens_WL.size(0), window_length = data.tokens_WL.size(1);
  for (const Step& step : steps) {
    for (const Piece& piece : step) {
      const bool known = data.row_of_window.empty() ? piece.window >= 0 && piece.window < num_rows
                                                    : data.row_of_window.contains(piece.window);
      if (!known) {
        return absl::InvalidArgumentError(absl::StrCat("window ", piece.window, " is not among the ", num_rows,
                                                       " windows given to the training run"));
      }
      if (piece.begin < 0 || piece.length < 1 || piece.begin + piece.length > window_length) {
        return absl::InvalidArgumentError(absl::StrCat("a piece of ", piece.length, " tokens from position ",
                                                       piece.begin, " does not fit window ", piece.window, " of ",
                                                       window_length, " tokens"));
      }
    }
  }
  return absl::OkStatus();
}

torch::Tensor GatherTeacher(const TrainData& data, const torch::Tensor& sources_N, torch::Tensor out_ND) {
  const torch::Tensor flat = data.teacher_hidden_WLD.view({-1, data.teacher_hidden_WLD.size(2)});
  if (!out_ND.defined()) return flat.index_select(0, sources_N);
  at::index_select_out(out_ND, flat, 0, sources_N);
  return out_ND;
}

std::vector<StepBatch> ExactBatches(const Step& step, const TrainData& data, int64_t micro_batch_tokens) {
  const int64_t predictions = Predictions(step);
  std::vector<StepBatch> batches;
  for (size_t begin = 0; begin < step.size();) {
    const int64_t length = step[begin].length;
    const size_t most_rows =
        micro_batch_tokens > 0 ? static_cast<size_t>(std::max<int64_t>(1, micro_batch_tokens / length)) : step.size();
    std::vector<RowSource> sources;
    size_t end = begin;
    for (; end < step.size() && step[end].length == length && sources.size() < most_rows; ++end) {
      sources.push_back(SourceOf(step[end], data));
    }
    begin = end;
    if (length < 2) continue;  // predicts nothing
    const Rows rows = Gather(sources, length, data);
    StepBatch batch{rows.tokens_BL, rows.targets_BL, {}, {}};
    if (data.teacher_hidden_WLD.defined()) batch.teacher_hidden_ND = GatherTeacher(data, rows.sources_BL.view(-1), {});
    const int64_t in_batch = static_cast<int64_t>(sources.size()) * (length - 1);
    if (in_batch < predictions) {
      const float share = static_cast<float>(in_batch) / static_cast<float>(predictions);
      batch.weight = torch::tensor(share, torch::kFloat32).to(data.tokens_WL.device());
    }
    batches.push_back(std::move(batch));
  }
  return batches;
}

StaticSteps MakeStaticSteps(const std::vector<Step>& steps, size_t first, size_t count, const StepLayout& layout,
                            const TrainData& data) {
  std::vector<RowSource> sources;
  std::vector<float> weights;
  for (size_t s = first; s < first + count; ++s) {
    const Step& step = steps[s];
    const float predictions = static_cast<float>(std::max<int64_t>(1, Predictions(step)));
    size_t next = 0;
    for (int64_t pass = 0; pass < layout.passes; ++pass) {
      int64_t in_pass = 0;
      for (int64_t row = 0; row < layout.rows; ++row, ++next) {
        sources.push_back(next < step.size() ? SourceOf(step[next], data) : RowSource{});
        in_pass += next < step.size() ? step[next].length - 1 : 0;
      }
      weights.push_back(static_cast<float>(in_pass) / predictions);
    }
  }
  const Rows rows = Gather(sources, layout.length, data);
  const int64_t num_steps = static_cast<int64_t>(count);
  const std::vector<int64_t> shape = {num_steps, layout.passes, layout.rows, layout.length};
  return {rows.tokens_BL.view(shape), rows.targets_BL.view(shape),
          rows.sources_BL.view({num_steps, layout.passes, layout.rows * layout.length}),
          torch::tensor(weights, torch::kFloat32).to(data.tokens_WL.device()).view({num_steps, layout.passes})};
}

}  // namespace espalier
