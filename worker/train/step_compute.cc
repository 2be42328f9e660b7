#include "worker/train/step_compute.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/_foreach_add.h>
#include <torch/csrc/autograd/autograd.h>

#include "worker/score/chunked_loss.h"

namespace espalier {
namespace {

using torch::Tensor;

// `sum` becomes the sum of both; undefined tensors are zero.
void AddTo(std::vector<Tensor>& sum, std::vector<Tensor> more) {
  if (sum.empty()) {
    sum = std::move(more);
    return;
  }
  std::vector<Tensor> to, from;
  for (size_t i = 0; i < sum.size(); ++i) {
    if (!more[i].defined()) continue;
    if (sum[i].defined()) {
      to.push_back(sum[i]);
      from.push_back(more[i]);
    } else {
      sum[i] = more[i];
    }
  }
  at::_foreach_add_(to, from);
}

void AddTo(Tensor& sum, const Tensor& more) { sum = sum.defined() ? sum + more : more; }

}  // namespace

StepCompute::StepCompute(const LanguageModel& model, const FlatParameters& parameters, const ComputeSettings& settings)
    : model_(model), parameters_(parameters), settings_(settings) {}

void StepCompute::Reserve(int64_t length) {
  if (rotary_.cos_LK.defined() && rotary_.cos_LK.size(0) >= length) return;
  rotary_ = MakeRotaryTables(model_.config, length, model_.device(), parameters_.flat.scalar_type());
}

void StepCompute::Accumulate(const StepBatch& batch, Tensor& loss, std::vector<Tensor>& gradients) const {
  const RotaryTables rotary = Narrow(rotary_, batch.tokens_BL.size(1));
  std::vector<Tensor> of_batch;
  const Tensor batch_loss =
      settings_.recompute_activations ? Recomputing(batch, rotary, of_batch) : Plain(batch, rotary, of_batch);
  const torch::NoGradGuard no_grad;
  AddTo(loss, batch_loss.detach());
  AddTo(gradients, std::move(of_batch));
}

Tensor StepCompute::TeacherHidden(const StepBatch& batch, const RotaryTables& rotary) const {
  if (settings_.loss == Loss::kCrossEntropy) return {};
  if (batch.teacher_hidden_ND.defined()) return batch.teacher_hidden_ND;
  const torch::NoGradGuard no_grad;
  return FinalHidden(*teacher_, batch.tokens_BL, rotary).flatten(0, 1);
}

Tensor StepCompute::LossOf(const Tensor& final_hidden_BLD, const StepBatch& batch, const Tensor& teacher_ND) const {
  const Tensor teacher_head = teacher_ND.defined() ? teacher_->head_VD.detach() : Tensor();
  const Tensor mean = ChunkedLoss(settings_.loss, final_hidden_BLD.flatten(0, 1), model_.head_VD, teacher_ND,
                                  teacher_head, batch.targets_BL.flatten());
  return batch.weight.defined() ? mean * batch.weight : mean;
}

Tensor StepCompute::Plain(const StepBatch& batch, const RotaryTables& rotary, std::vector<Tensor>& gradients) const {
  const Tensor teacher_ND = TeacherHidden(batch, rotary);
  const torch::AutoGradMode with_grad(true);
  const Tensor loss = LossOf(FinalHidden(model_, batch.tokens_BL, rotary), batch, teacher_ND);
  gradients = torch::autograd::grad({loss}, parameters_.leaves, {}, false, false, /*allow_unused=*/true);
  return loss;
}

Tensor StepCompute::Recomputing(const StepBatch& batch, const RotaryTables& rotary,
                                std::vector<Tensor>& gradients) const {
  const Tensor teacher_ND = TeacherHidden(batch, rotary);
  gradients.assign(parameters_.leaves.size(), Tensor());
  std::vector<Tensor> entering;  // hidden states that enter each layer, and the final norm
  {
    const torch::NoGradGuard no_grad;
    entering.push_back(Embed(model_, batch.tokens_BL));
    for (int layer = 0; layer < static_cast<int>(model_.layers.size()); ++layer) {
      entering.push_back(LayerForward(model_, layer, entering.back(), rotary));
    }
  }
  const torch::AutoGradMode with_grad(true);

  // The loss, back to the last layer's output.
  const std::vector<Tensor>& leaves = parameters_.leaves;
  Tensor hidden = entering.back().detach().requires_grad_(true);
  entering.pop_back();
  const Tensor loss = LossOf(FinalNorm(model_, hidden), batch, teacher_ND);
  std::vector<Tensor> found =
      torch::autograd::grad({loss}, {hidden, leaves[parameters_.final_norm], leaves[parameters_.head]});
  Tensor gradient = found[0];
  gradients[parameters_.final_norm] = found[1];
  gradients[parameters_.head] = found[2];

  for (int layer = static_cast<int>(model_.layers.size()) - 1; layer >= 0; --layer) {
    hidden = entering.back().detach().requires_grad_(true);
    entering.pop_back();
    const auto [first, last] = parameters_.layer_leaves[layer];
    if (first == last) continue;  // both units are removed: the layer is the identity
    std::vector<Tensor> inputs = {hidden};
    inputs.insert(inputs.end(), leaves.begin() + first, leaves.begin() + last);
    found = torch::autograd::grad({LayerForward(model_, layer, hidden, rotary)}, inputs, {gradient});
    gradient = found[0];
    std::move(found.begin() + 1, found.end(), gradients.begin() + first);
  }

  found = torch::autograd::grad({Embed(model_, batch.tokens_BL)}, {leaves[parameters_.embedding]}, {gradient});
  const torch::NoGradGuard no_grad;
  AddTo(gradients[parameters_.embedding], found[0]);  // tied: the head's gradient is there already
  return loss;
}

}  // namespace espalier
