#include "worker/train/static_step.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include <algorithm>

#include "common/base/strings.h"

namespace espalier {
namespace {

int64_t PaddedTokens(const StepLayout& layout) { return layout.passes * layout.rows * layout.length; }

}  // namespace

StaticStep::StaticStep(const StepLayout& layout, const TrainData& data) : layout_(layout), teacher_(data.teacher) {
  const auto integers = torch::TensorOptions().dtype(torch::kInt64).device(data.tokens_WL.device());
  tokens_PBL_ = torch::zeros({layout.passes, layout.rows, layout.length}, integers);
  targets_PBL_ = torch::zeros({layout.passes, layout.rows, layout.length}, integers);
  weights_P_ = torch::zeros({layout.passes}, integers.dtype(torch::kFloat32));
  if (data.teacher_hidden_WLD.defined()) {
    const int64_t hidden_size = data.teacher_hidden_WLD.size(2);
    teacher_PND_ =
        torch::zeros({layout.passes, layout.rows * layout.length, hidden_size}, data.teacher_hidden_WLD.options());
  }
}

bool StaticStep::Serves(const StepLayout& layout, const TrainData& data) const {
  return layout_.Holds(layout) && PaddedTokens(layout_) <= PaddedTokens(layout) * 5 / 4 && data.teacher == teacher_ &&
         data.teacher_hidden_WLD.defined() == teacher_PND_.defined();
}

void StaticStep::Load(const StaticSteps& steps, int64_t index, const TrainData& data) {
  tokens_PBL_.copy_(steps.tokens_SPBL.select(0, index), true);
  targets_PBL_.copy_(steps.targets_SPBL.select(0, index), true);
  if (layout_.passes > 1) weights_P_.copy_(steps.weights_SP.select(0, index), true);
  if (!teacher_PND_.defined()) return;
  GatherTeacher(data, steps.sources_SPN.select(0, index).reshape({-1}), teacher_PND_.flatten(0, 1));
}

std::vector<StepBatch> StaticStep::Batches(int64_t rows) const {
  std::vector<StepBatch> batches;
  for (int64_t pass = 0; pass * layout_.rows < rows; ++pass) {
    const int64_t in_pass = std::min(layout_.rows, rows - pass * layout_.rows);
    const auto of_pass = [&](const torch::Tensor& of_all, int64_t count) { return of_all.select(0, pass).narrow(0, 0, count); };
    StepBatch batch{of_pass(tokens_PBL_, in_pass), of_pass(targets_PBL_, in_pass), {}, {}};
    if (teacher_PND_.defined()) batch.teacher_hidden_ND = of_pass(teacher_PND_, in_pass * layout_.length);
    if (layout_.passes > 1) batch.weight = weights_P_.select(0, pass);
    batches.push_back(std::move(batch));
  }
  return batches;
}

void StaticStep::Run(const Work& work, int64_t rows) {
  if (graph_ != nullptr) {
    graph_->Replay();
    return;
  }
  work(Batches(rows));
  ran_ = true;
}

absl::Status StaticStep::Capture(const Work& work, CaptureRoom room) {
  absl::StatusOr<std::unique_ptr<StepGraph>> graph = StepGraph::Capture([&] { work(Batches(num_rows())); }, room);
  if (!graph.ok()) {
    // Before the first step it may only be that a library was not ready: the next step tries once more.
    if (ran_) graph_refusal_ = ToString(graph.status().message());
    return graph.status();
  }
  graph_ = *std::move(graph);
  return absl::OkStatus();
}

}  // namespace espalier
