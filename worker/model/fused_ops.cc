#include "worker/model/fused_ops.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <atomic>
#include <optional>
#include <vector>

#include "worker/model/fused_source.h"
#include "worker/model/kernel_source.h"
#include "worker/model/runtime_kernel.h"

namespace espalier {
namespace {

using torch::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

std::atomic<bool> is_switched_on = true;

#ifdef ESPALIER_HAS_CUDA

constexpr int kThreads = 256;
constexpr int64_t kMaxBlocks = 16384;
constexpr int64_t kWidest = 8;  // elements that a thread moves at once

enum Kernel { kSwiGluForward, kSwiGluBackward, kSplitForward, kSplitBackward, kNumKernels };

// Null when they cannot be had. Each comes in two widths: eight elements at once, then one.
const std::vector<const void*>* KernelsOf(torch::Device device) {
  static auto* const kernels = new KernelSet(
      WithBf16(kFusedSource),
      {"swiglu_forward_8", "swiglu_backward_8", "split_forward_8", "split_backward_8", "swiglu_forward_1", "swiglu_backward_1",
       "split_forward_1", "split_backward_1"},
      "training is slower");
  return kernels->On(device.index());
}

// The kernel for rows of so many elements.
const void* KernelFor(torch::Device device, Kernel kernel, int64_t elements) {
  return (*KernelsOf(device))[kernel + (elements % kWidest == 0 ? 0 : kNumKernels)];
}

struct Shape {  // as in the source
  int L, H, G, J, K;
};
struct Strides {
  long long b, l, h;
};

template <typename... Arguments>
void LaunchOver(const void* kernel, int64_t threads, Arguments... arguments) {
  TORCH_CHECK(threads < int64_t{1} << 32, "too many elements for one fused kernel");
  Launch(kernel, std::min<int64_t>((threads + kThreads - 1) / kThreads, kMaxBlocks), kThreads, arguments...);
}

const void* Data(const Tensor& tensor) { return tensor.defined() ? tensor.const_data_ptr() : nullptr; }

Tensor SwiGluForward(const Tensor& gate_up) {
  const int64_t F = gate_up.size(-1) / 2;
  std::vector<int64_t> sizes = gate_up.sizes().vec();
  sizes.back() = F;
  const Tensor out = at::empty(sizes, gate_up.options());
  const int64_t count = out.numel() / (F % kWidest == 0 ? kWidest : 1);
  LaunchOver(KernelFor(gate_up.device(), kSwiGluForward, F), count, Data(gate_up), out.mutable_data_ptr(),
             static_cast<unsigned>(count), static_cast<unsigned>(F));
  return out;
}

Tensor SwiGluBackward(const Tensor& gate_up, const Tensor& gradient) {
  const int64_t F = gate_up.size(-1) / 2;
  const Tensor to = at::empty(gate_up.sizes(), gate_up.options());
  const int64_t count = gradient.numel() / (F % kWidest == 0 ? kWidest : 1);
  LaunchOver(KernelFor(gate_up.device(), kSwiGluBackward, F), count, Data(gate_up), Data(gradient), to.mutable_data_ptr(),
             static_cast<unsigned>(count), static_cast<unsigned>(F));
  return to;
}

class SwiGluFunction : public torch::autograd::Function<SwiGluFunction> {
 public:
  static Tensor forward(AutogradContext* context, const Tensor& gate_up) {
    context->save_for_backward({gate_up});
    return SwiGluForward(gate_up);
  }
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    return {SwiGluBackward(context->get_saved_variables()[0], gradients[0].contiguous())};
  }
};

struct HeadCounts {
  int64_t H, G, J, K;
};

// Launches over `positions` * `heads` pairs of half heads.
int64_t PairsOf(int64_t positions, int64_t heads, int64_t K) {
  const int64_t half = K / 2;
  return positions * heads * (half % kWidest == 0 ? half / kWidest : half);
}

variable_list SplitForward(const Tensor& qkv, const Tensor& cos, const Tensor& sin, const Tensor& index, HeadCounts n) {
  const int64_t B = qkv.size(0), L = qkv.size(1);
  const Tensor q = at::empty({B, L, n.H, n.K}, qkv.options()), k = at::empty({B, L, n.J, n.K}, qkv.options());
  const Tensor v = at::empty_like(k);
  const int64_t count = PairsOf(B * L, n.H + 2 * n.J, n.K);
  const Shape shape = {static_cast<int>(L), static_cast<int>(n.H), static_cast<int>(n.G), static_cast<int>(n.J),
                       static_cast<int>(n.K)};
  LaunchOver(KernelFor(qkv.device(), kSplitForward, n.K / 2), count, Data(qkv), Data(cos), Data(sin), Data(index),
         q.mutable_data_ptr(), k.mutable_data_ptr(), v.mutable_data_ptr(), static_cast<unsigned>(count), shape);
  return {q, k, v};
}

// With a dense last dimension and every row of it aligned for the widest load.
Tensor Loadable(const Tensor& gradient, at::IntArrayRef sizes, const torch::TensorOptions& options) {
  if (!gradient.defined()) return at::zeros(sizes, options);
  bool is_fine = gradient.stride(3) == 1 && gradient.storage_offset() % kWidest == 0;
  for (int dimension = 0; dimension < 3; ++dimension) is_fine = is_fine && gradient.stride(dimension) % kWidest == 0;
  return is_fine ? gradient : gradient.contiguous();
}

Strides StridesOf(const Tensor& x) { return {x.stride(0), x.stride(1), x.stride(2)}; }

Tensor SplitBackward(const variable_list& gradients, int64_t B, int64_t L, const Tensor& cos, const Tensor& sin,
                     const Tensor& index, HeadCounts n) {
  const Tensor to = at::empty({B, L, (n.H + 2 * n.G) * n.K}, cos.options());
  const Tensor dq = Loadable(gradients[0], {B, L, n.H, n.K}, cos.options());
  const Tensor dk = Loadable(gradients[1], {B, L, n.J, n.K}, cos.options());
  const Tensor dv = Loadable(gradients[2], {B, L, n.J, n.K}, cos.options());
  const int64_t count = PairsOf(B * L, n.H + 2 * n.G, n.K);
  const Shape shape = {static_cast<int>(L), static_cast<int>(n.H), static_cast<int>(n.G), static_cast<int>(n.J),
                       static_cast<int>(n.K)};
  LaunchOver(KernelFor(cos.device(), kSplitBackward, n.K / 2), count, Data(dq), Data(dk), Data(dv), StridesOf(dq),
         StridesOf(dk), StridesOf(dv), Data(cos), Data(sin), Data(index), to.mutable_data_ptr(), static_cast<unsigned>(count),
         shape);
  return to;
}

class SplitFunction : public torch::autograd::Function<SplitFunction> {
 public:
  static variable_list forward(AutogradContext* context, const Tensor& qkv, const Tensor& cos, const Tensor& sin,
                               const std::optional<Tensor>& index, int64_t H, int64_t G, int64_t K) {
    const Tensor kv_index = index.value_or(Tensor());
    context->save_for_backward({cos, sin, kv_index});
    context->saved_data["counts"] = std::vector<int64_t>{qkv.size(0), qkv.size(1), H, G, kv_index.defined() ? H : G, K};
    return SplitForward(qkv, cos, sin, kv_index, {H, G, kv_index.defined() ? H : G, K});
  }
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const variable_list saved = context->get_saved_variables();
    const std::vector<int64_t> n = context->saved_data["counts"].toIntVector();
    const Tensor to =
        SplitBackward(gradients, n[0], n[1], saved[0], saved[1], saved[2], {n[2], n[3], n[4], n[5]});
    return {to, Tensor(), Tensor(), Tensor(), Tensor(), Tensor(), Tensor()};
  }
};

bool NeedsGradient(const Tensor& x) { return at::GradMode::is_enabled() && x.requires_grad(); }

#endif

}  // namespace

void SwitchFusedOps(bool on) { is_switched_on = on; }

#ifdef ESPALIER_HAS_CUDA

bool HasFusedOps(const Tensor& x) {
  return x.is_cuda() && x.scalar_type() == torch::kBFloat16 && is_switched_on && KernelsOf(x.device()) != nullptr;
}

SplitHeads SplitAndRotate(const Tensor& qkv_BLW, const Tensor& cos_LK, const Tensor& sin_LK, const Tensor& kv_index_H,
                          int64_t num_heads, int64_t num_kv_heads, int64_t head_size) {
  const Tensor qkv = qkv_BLW.contiguous(), cos = cos_LK.contiguous(), sin = sin_LK.contiguous();
  if (!NeedsGradient(qkv)) {
    const int64_t J = kv_index_H.defined() ? num_heads : num_kv_heads;
    const variable_list heads = SplitForward(qkv, cos, sin, kv_index_H, {num_heads, num_kv_heads, J, head_size});
    return {heads[0], heads[1], heads[2]};
  }
  const std::optional<Tensor> index = kv_index_H.defined() ? std::optional<Tensor>(kv_index_H) : std::nullopt;
  const variable_list heads = SplitFunction::apply(qkv, cos, sin, index, num_heads, num_kv_heads, head_size);
  return {heads[0], heads[1], heads[2]};
}

Tensor SwiGlu(const Tensor& gate_up) {
  const Tensor input = gate_up.contiguous();
  return NeedsGradient(input) ? SwiGluFunction::apply(input) : SwiGluForward(input);
}

#else

bool HasFusedOps(const Tensor&) { return false; }

SplitHeads SplitAndRotate(const Tensor&, const Tensor&, const Tensor&, const Tensor&, int64_t, int64_t, int64_t) {
  TORCH_CHECK(false, "this program was built without CUDA");
}

Tensor SwiGlu(const Tensor&) { TORCH_CHECK(false, "this program was built without CUDA"); }

#endif

}  // namespace espalier
