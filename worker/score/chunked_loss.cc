#include "worker/score/chunked_loss.h"

#include <ATen/ops/_foreach_mul.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "worker/score/chunk_logits.h"
#include "worker/score/loss_kernel.h"

namespace espalier {
namespace {

using torch::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

LossShares SharesOf(Loss loss) {
  switch (loss) {
    case Loss::kCrossEntropy:
      return {1, 0};
    case Loss::kKl:
      return {0, 1};
    case Loss::kBoth:
      return {0.5, 0.5};
  }
  return {1, 0};
}

struct Rows {  // one chunk
  Tensor hidden_ND, teacher_ND, targets_N, weight_N;
};

// Adds the chunk's share of the loss to `loss` and returns the gradient towards its logits [n, V], in the hidden states' format:
// weight * ((ce + kl) * softmax(student) - ce * onehot(target) - kl * softmax(teacher)).
Tensor LogitsGradient(const Rows& rows, const Tensor& head_VD, const Tensor& teacher_head_VD, LossShares shares, Tensor& loss) {
  const Tensor logits = ChunkLogits(rows.hidden_ND, head_VD);
  if (HasLossKernel(rows.hidden_ND)) {
    const Tensor teacher_logits = shares.kl > 0 ? ChunkLogits(rows.teacher_ND, teacher_head_VD) : Tensor();
    return FusedLogitsGradient(logits, teacher_logits, rows.targets_N, rows.weight_N, shares, loss);
  }
  const Tensor log_p = at::log_softmax(logits, -1);
  const Tensor weight = rows.weight_N.unsqueeze(1);
  const Tensor target = rows.targets_N.clamp_min(0).unsqueeze(1);
  if (shares.cross_entropy > 0) {
    loss.sub_((log_p.gather(1, target) * weight).sum(), shares.cross_entropy);
  }
  Tensor gradient;
  if (shares.kl > 0) {
    const Tensor log_q = at::log_softmax(ChunkLogits(rows.teacher_ND, teacher_head_VD), -1);
    const Tensor q = log_q.exp();
    loss.add_((q * log_q.sub(log_p)).sum(-1).mul_(rows.weight_N).sum(), shares.kl);
    gradient = log_p.exp().sub_(q, shares.kl);  // the shares add up to one
  } else {
    gradient = log_p.exp();
  }
  gradient.mul_(weight);
  if (shares.cross_entropy > 0) gradient.scatter_add_(1, target, weight * -shares.cross_entropy);
  return gradient.to(rows.hidden_ND.scalar_type());
}

class ChunkedLossFunction : public torch::autograd::Function<ChunkedLossFunction> {
 public:
  // The teacher's tensors are optional because a custom function takes no undefined ones.
  static Tensor forward(AutogradContext* context, const Tensor& hidden_ND, const Tensor& head_VD,
                        const std::optional<Tensor>& teacher, const std::optional<Tensor>& teacher_head,
                        const Tensor& targets_N, int64_t loss_kind) {
    const Tensor teacher_ND = teacher.value_or(Tensor()), teacher_head_VD = teacher_head.value_or(Tensor());
    const LossShares shares = SharesOf(static_cast<Loss>(loss_kind));
    const torch::ScalarType accumulate = AccumulationType(hidden_ND);
    const Tensor counts_N = targets_N.ge(0).to(accumulate);
    const Tensor weight_N = counts_N / counts_N.sum().clamp_min(1);
    const int64_t num_rows = hidden_ND.size(0);
    const int64_t chunk = LossChunkRows(head_VD.size(0), hidden_ND.device());
    Tensor loss = at::zeros({}, hidden_ND.options().dtype(accumulate));
    const Tensor hidden_gradient = at::empty_like(hidden_ND);
    Tensor head_gradient;
    for (int64_t begin = 0; begin < num_rows; begin += chunk) {
      const int64_t count = std::min(chunk, num_rows - begin);
      const auto rows_of = [&](const Tensor& t) { return t.defined() ? t.narrow(0, begin, count) : t; };
      const Rows rows = {rows_of(hidden_ND), rows_of(teacher_ND), rows_of(targets_N), rows_of(weight_N)};
      const Tensor gradient = LogitsGradient(rows, head_VD, teacher_head_VD, shares, loss);
      Tensor hidden_part = hidden_gradient.narrow(0, begin, count);
      at::mm_out(hidden_part, gradient, head_VD);
      if (head_VD.requires_grad()) AddProduct(head_gradient, gradient.t(), rows.hidden_ND, num_rows > chunk);
    }
    if (head_gradient.defined()) head_gradient = head_gradient.to(head_VD.scalar_type());
    context->saved_data["hidden"] = hidden_gradient;
    context->saved_data["head"] = head_gradient;
    return loss;
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const Tensor hidden = context->saved_data["hidden"].toTensor(), head = context->saved_data["head"].toTensor();
    std::vector<Tensor> scaled = {hidden};
    if (head.defined()) scaled.push_back(head);
    at::_foreach_mul_(scaled, gradients[0].to(hidden.scalar_type()));
    return {hidden, head, Tensor(), Tensor(), Tensor(), Tensor()};
  }

 private:
  // sum += left * right; over several chunks the sum is kept in fp32.
  static void AddProduct(Tensor& sum, const Tensor& left, const Tensor& right, bool several_chunks) {
    if (!several_chunks) {
      sum = at::mm(left, right);
    } else if (!sum.defined()) {
      sum = MmWide(left, right);
    } else {
      AddMmWide(sum, left, right);
    }
  }
};

}  // namespace

Tensor ChunkedLoss(Loss loss, const Tensor& hidden_ND, const Tensor& head_VD, const Tensor& teacher_hidden_ND,
                   const Tensor& teacher_head_VD, const Tensor& targets_N) {
  const auto if_defined = [](const Tensor& t) { return t.defined() ? std::optional<Tensor>(t) : std::nullopt; };
  return ChunkedLossFunction::apply(hidden_ND, head_VD, if_defined(teacher_hidden_ND), if_defined(teacher_head_VD), targets_N,
                                    static_cast<int64_t>(loss));
}

Tensor ChunkedCrossEntropy(const Tensor& hidden_ND, const Tensor& head_VD, const Tensor& targets_N) {
  return ChunkedLoss(Loss::kCrossEntropy, hidden_ND, head_VD, Tensor(), Tensor(), targets_N);
}

Tensor ChunkedKl(const Tensor& hidden_ND, const Tensor& head_VD, const Tensor& teacher_hidden_ND, const Tensor& teacher_head_VD,
                 const Tensor& targets_N) {
  return ChunkedLoss(Loss::kKl, hidden_ND, head_VD, teacher_hidden_ND, teacher_head_VD, targets_N);
}

int64_t LossChunkRows(int64_t vocabulary_size, torch::Device device) {
  const int64_t logits = device.is_cuda() ? int64_t{1} << 26 : int64_t{1} << 20;  // 256 MiB and 4 MiB of fp32
  return std::max<int64_t>(logits / vocabulary_size, 16);
}

}  // namespace espalier
