#include "worker/model/fused_norm.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros_like.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <vector>

#include "worker/model/fused_ops.h"
#include "worker/model/kernel_source.h"
#include "worker/model/norm_source.h"
#include "worker/model/runtime_kernel.h"

namespace espalier {
namespace {

using torch::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr int64_t kColumnsAtOnce = 8;     // of a thread
constexpr int64_t kMostPacks = 2;         // that a thread holds, as in the source
constexpr int64_t kMostThreads = 512;
constexpr int64_t kBackwardBlocks = 396;  // three a multiprocessor of an H100 or H200
constexpr int kColumnsOfSum = 32, kThreadsOfSum = 256;

enum NormKernel { kForward, kBackward, kAddRows };

const std::vector<const void*>* NormKernels(torch::Device device) {
  static auto* const kernels =
      new KernelSet(WithBf16(kNormSource), {"add_norm_forward", "add_norm_backward", "add_rows"}, "training is slower");
  return kernels->On(device.index());
}

// Threads of a block for a row of D columns.
int ThreadsFor(int64_t D) {
  const int64_t packs = D / kColumnsAtOnce;
  return static_cast<int>(std::clamp<int64_t>((packs + 31) / 32 * 32, 32, kMostThreads));
}

struct Forward {
  Tensor hidden, normed, scales_N;
};

Forward AddNormForward(const Tensor& x, const Tensor& delta, const Tensor& weight, double epsilon) {
  const int64_t D = x.size(-1), N = x.numel() / D;
  Forward out = {at::empty_like(x), at::empty_like(x), at::empty({N}, x.options().dtype(torch::kFloat32))};
  Launch((*NormKernels(x.device()))[kForward], N, ThreadsFor(D), x.const_data_ptr(), delta.const_data_ptr(), weight.const_data_ptr(),
         out.hidden.mutable_data_ptr(), out.normed.mutable_data_ptr(), out.scales_N.mutable_data_ptr(), static_cast<int>(D),
         static_cast<float>(epsilon));
  return out;
}

class AddNormFunction : public torch::autograd::Function<AddNormFunction> {
 public:
  static variable_list forward(AutogradContext* context, const Tensor& x, const Tensor& delta, const Tensor& weight, double epsilon) {
    const Forward out = AddNormForward(x, delta, weight, epsilon);
    context->save_for_backward({out.hidden, weight, out.scales_N});
    context->set_materialize_grads(false);
    return {out.hidden, out.normed};
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const variable_list saved = context->get_saved_variables();
    const Tensor& hidden = saved[0];
    const Tensor d_hidden = gradients[0].defined() ? gradients[0].contiguous() : Tensor();
    const Tensor d_normed = gradients[1].defined() ? gradients[1].contiguous() : at::zeros_like(hidden);
    const int64_t D = hidden.size(-1), N = hidden.numel() / D, blocks = std::min(N, kBackwardBlocks);
    const Tensor to = at::empty_like(hidden), to_weight = at::empty_like(saved[1]);
    const Tensor partial = at::empty({blocks, D}, saved[2].options());
    const auto& kernels = *NormKernels(hidden.device());
    Launch(kernels[kBackward], blocks, ThreadsFor(D), hidden.const_data_ptr(), saved[1].const_data_ptr(), saved[2].const_data_ptr(),
           d_hidden.defined() ? d_hidden.const_data_ptr() : nullptr, d_normed.const_data_ptr(), to.mutable_data_ptr(),
           partial.mutable_data_ptr(), static_cast<int>(N), static_cast<int>(D));
    Launch(kernels[kAddRows], (D + kColumnsOfSum - 1) / kColumnsOfSum, kThreadsOfSum, partial.const_data_ptr(),
           to_weight.mutable_data_ptr(), static_cast<int>(blocks), static_cast<int>(D));
    return {to, to, to_weight, Tensor()};
  }
};

}  // namespace

bool HasAddRmsNorm(const Tensor& hidden_BLD) {
  const int64_t D = hidden_BLD.size(-1);
  return D % kColumnsAtOnce == 0 && D <= kColumnsAtOnce * kMostPacks * kMostThreads && HasFusedOps(hidden_BLD) &&
         NormKernels(hidden_BLD.device()) != nullptr;
}

AddedAndNormed AddRmsNorm(const Tensor& x_BLD, const Tensor& delta_BLD, const Tensor& weight_D, double epsilon) {
  const Tensor x = x_BLD.contiguous(), delta = delta_BLD.contiguous(), weight = weight_D.contiguous();
  if (at::GradMode::is_enabled() && (x.requires_grad() || delta.requires_grad() || weight.requires_grad())) {
    const variable_list out = AddNormFunction::apply(x, delta, weight, epsilon);
    return {out[0], out[1]};
  }
  const Forward out = AddNormForward(x, delta, weight, epsilon);
  return {out.hidden, out.normed};
}

}  // namespace espalier
