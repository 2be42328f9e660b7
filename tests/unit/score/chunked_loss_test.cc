#include "tests/support/catch.h"
// catch.h comes first: see there.
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/randint.h>
#include <torch/csrc/autograd/autograd.h>

#include "worker/score/chunked_loss.h"

namespace espalier {
namespace {

struct LossCase {
  torch::Tensor hidden, head, teacher_hidden, teacher_head, targets;
};

LossCase MakeLossCase(int64_t rows, int64_t hidden_size, int64_t vocabulary_size, torch::ScalarType dtype) {
  torch::manual_seed(rows + vocabulary_size);
  const auto options = torch::TensorOptions().dtype(dtype);
  LossCase made;
  made.hidden = torch::randn({rows, hidden_size}, options).requires_grad_();
  made.head = torch::randn({vocabulary_size, hidden_size}, options).requires_grad_();
  made.teacher_hidden = torch::randn({rows, hidden_size + 2}, options);
  made.teacher_head = torch::randn({vocabulary_size, hidden_size + 2}, options);
  made.targets = at::randint(vocabulary_size, {rows}, torch::kInt64);
  made.targets[0] = -1;
  made.targets[rows / 2] = -1;
  made.targets[rows - 1] = -1;
  return made;
}

// The same losses over whole logits with plain autograd.
torch::Tensor PlainLoss(Loss loss, const LossCase& inputs) {
  const torch::Tensor mask = inputs.targets.ge(0).to(inputs.hidden.scalar_type());
  const torch::Tensor log_p = at::log_softmax(inputs.hidden.matmul(inputs.head.t()), -1);
  const torch::Tensor log_q = at::log_softmax(inputs.teacher_hidden.matmul(inputs.teacher_head.t()), -1);
  const torch::Tensor nll = -log_p.gather(1, inputs.targets.clamp_min(0).unsqueeze(1)).squeeze(1);
  const torch::Tensor kl = (log_q.exp() * (log_q - log_p)).sum(-1);
  const torch::Tensor by_row = loss == Loss::kCrossEntropy ? nll : loss == Loss::kKl ? kl : (nll + kl) / 2;
  return (by_row * mask).sum() / mask.sum();
}

torch::Tensor Chunked(Loss loss, const LossCase& inputs) {
  return ChunkedLoss(loss, inputs.hidden, inputs.head, inputs.teacher_hidden, inputs.teacher_head, inputs.targets);
}

double Largest(const torch::Tensor& tensor) { return tensor.abs().max().item<double>(); }

}  // namespace

TEST_CASE("ChunkedLoss: value and gradients equal plain autograd over whole logits") {
  const Loss loss = GENERATE(Loss::kCrossEntropy, Loss::kKl, Loss::kBoth);
  // One chunk, and several with a ragged last one.
  const int64_t vocabulary_size = GENERATE(37, 50021);
  const int64_t rows = 53;
  REQUIRE((vocabulary_size == 37) == (LossChunkRows(vocabulary_size, torch::kCPU) >= rows));
  const LossCase inputs = MakeLossCase(rows, 6, vocabulary_size, torch::kFloat64);

  const torch::Tensor expected = PlainLoss(loss, inputs);
  // The factor checks that what comes from above is multiplied in.
  const auto expected_gradients = torch::autograd::grad({expected * 3.5}, {inputs.hidden, inputs.head});
  const torch::Tensor actual = Chunked(loss, inputs);
  const auto gradients = torch::autograd::grad({actual * 3.5}, {inputs.hidden, inputs.head});

  CHECK(actual.item<double>() == Approx(expected.item<double>()).epsilon(1e-12));
  CHECK(Largest(gradients[0] - expected_gradients[0]) < 1e-12);
  CHECK(Largest(gradients[1] - expected_gradients[1]) < 1e-12);
  CHECK(Largest(gradients[0][rows / 2]) == 0);
}

TEST_CASE("ChunkedLoss: a frozen head costs no gradient, rows without target count nothing") {
  LossCase inputs = MakeLossCase(8, 6, 37, torch::kFloat32);
  inputs.head = inputs.head.detach();
  ChunkedCrossEntropy(inputs.hidden, inputs.head, inputs.targets).backward();
  CHECK_FALSE(inputs.head.grad().defined());
  CHECK(Largest(inputs.hidden.grad()) > 0);

  inputs.targets.fill_(-1);
  CHECK(ChunkedCrossEntropy(inputs.hidden, inputs.head, inputs.targets).item<double>() == 0);
  CHECK(ChunkedKl(inputs.hidden, inputs.head, inputs.teacher_hidden, inputs.teacher_head, inputs.targets).item<double>() == 0);
}

TEST_CASE("ChunkedLoss: 16-bit inputs give an fp32 loss and 16-bit gradients close to those of fp32") {
  const LossCase exact = MakeLossCase(40, 16, 50021, torch::kFloat32);
  LossCase rounded = exact;
  rounded.hidden = exact.hidden.detach().to(torch::kBFloat16).requires_grad_();
  rounded.head = exact.head.detach().to(torch::kBFloat16).requires_grad_();
  rounded.teacher_hidden = exact.teacher_hidden.to(torch::kBFloat16);
  rounded.teacher_head = exact.teacher_head.to(torch::kBFloat16);
  const torch::Tensor loss = Chunked(Loss::kBoth, rounded);
  CHECK(loss.scalar_type() == torch::kFloat32);
  CHECK(loss.item<double>() == Approx(Chunked(Loss::kBoth, exact).item<double>()).epsilon(1e-2));
  const auto gradients = torch::autograd::grad({loss}, {rounded.hidden, rounded.head});
  const auto exact_gradients = torch::autograd::grad({Chunked(Loss::kBoth, exact)}, {exact.hidden, exact.head});
  for (int i = 0; i < 2; ++i) {
    CHECK(gradients[i].scalar_type() == torch::kBFloat16);
    const double error = (gradients[i].to(torch::kFloat32) - exact_gradients[i]).norm().item<double>();
    CHECK(error < 0.1 * exact_gradients[i].norm().item<double>());
  }
}

}  // namespace espalier
