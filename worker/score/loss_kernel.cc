#include "worker/score/loss_kernel.h"

#include <ATen/ops/empty.h>

#include "worker/model/fused_ops.h"
#include "worker/model/kernel_source.h"
#include "worker/model/runtime_kernel.h"
#include "worker/score/loss_source.h"

namespace espalier {
namespace {

using torch::Tensor;

constexpr int kThreads = 512;  // as in the source
constexpr int64_t kWide = 4;   // logits that a thread reads at once

const std::vector<const void*>* KernelsOf(torch::Device device) {
  static auto* const kernels = new KernelSet(WithBf16(kLossSource), {"logits_gradient_4", "logits_gradient_1"}, "training is slower");
  return kernels->On(device.index());
}

}  // namespace

bool HasLossKernel(const Tensor& hidden) { return HasFusedOps(hidden) && KernelsOf(hidden.device()) != nullptr; }

Tensor FusedLogitsGradient(const Tensor& logits_nV, const Tensor& teacher_logits_nV, const Tensor& targets_n, const Tensor& weight_n,
                           LossShares shares, Tensor& loss) {
  const int64_t rows = logits_nV.size(0), vocabulary = logits_nV.size(1);
  const Tensor logits = logits_nV.contiguous(), targets = targets_n.contiguous(), weight = weight_n.contiguous();
  const Tensor teacher = shares.kl > 0 ? teacher_logits_nV.contiguous() : Tensor();
  const Tensor gradient = at::empty({rows, vocabulary}, logits.options().dtype(torch::kBFloat16));
  const Tensor row_loss = at::empty({rows}, logits.options());
  const void* const kernel = (*KernelsOf(logits.device()))[vocabulary % kWide == 0 ? 0 : 1];
  Launch(kernel, rows, kThreads, logits.const_data_ptr(), teacher.defined() ? teacher.const_data_ptr() : nullptr,
         targets.const_data_ptr(), weight.const_data_ptr(), static_cast<float>(shares.cross_entropy), static_cast<float>(shares.kl),
         gradient.mutable_data_ptr(), row_loss.mutable_data_ptr(), static_cast<unsigned>(vocabulary));
  loss.add_(row_loss.sum());
  return gradient;
}

}  // namespace espalier
