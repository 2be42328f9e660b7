#include "worker/model/fused_ops.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "worker/model/fused_source.h"
#include "worker/model/runtime_kernel.h"

#ifdef ESPALIER_HAS_CUDA
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAStream.h>
#include <cuda_runtime_api.h>
#endif

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

// The kernels of a device, eight elements at once and one.
struct Kernels {
  struct Widths {
    const void* eight = nullptr;
    const void* one = nullptr;
    const void* For(int64_t elements) const { return elements % kWidest == 0 ? eight : one; }
  };
  Widths swiglu_forward, swiglu_backward, split_forward, split_backward;
};

absl::StatusOr<Kernels> LoadKernels(int device) {
  ESPALIER_ASSIGN_OR_RETURN(const CudaModule module, CudaModule::Load(kFusedSource, device));
  Kernels kernels;
  const std::pair<const char*, Kernels::Widths*> wanted[] = {{"swiglu_forward", &kernels.swiglu_forward},
                                                             {"swiglu_backward", &kernels.swiglu_backward},
                                                             {"split_forward", &kernels.split_forward},
                                                             {"split_backward", &kernels.split_backward}};
  for (const auto& [name, widths] : wanted) {
    for (const bool wide : {true, false}) {
      ESPALIER_ASSIGN_OR_RETURN((wide ? widths->eight : widths->one), module.Find(absl::StrCat(name, wide ? "_8" : "_1").c_str()));
    }
  }
  return kernels;
}

// Null when they cannot be had.
const Kernels* KernelsOf(torch::Device device) {
  static std::mutex mutex;
  static auto* const by_device = new std::map<int, std::optional<Kernels>>;
  const std::lock_guard lock(mutex);
  const auto [entry, is_new] = by_device->try_emplace(device.index());
  if (is_new) {
    absl::StatusOr<Kernels> kernels = LoadKernels(device.index());
    if (kernels.ok()) {
      entry->second = *kernels;
    } else {
      std::fprintf(stderr, "espalier: without fused kernels, training is slower: %s\n", kernels.status().ToString().c_str());
    }
  }
  return entry->second.has_value() ? &*entry->second : nullptr;
}

struct Shape {  // as in the source
  int L, H, G, J, K;
};
struct Strides {
  long long b, l, h;
};

template <typename... Arguments>
void Launch(const void* kernel, int64_t threads, Arguments... arguments) {
  if (threads == 0) return;
  TORCH_CHECK(threads < int64_t{1} << 32, "too many elements for one fused kernel");
  void* pointers[] = {&arguments...};
  const int64_t blocks = std::min<int64_t>((threads + kThreads - 1) / kThreads, kMaxBlocks);
  C10_CUDA_CHECK(cudaLaunchKernel(kernel, dim3(static_cast<unsigned>(blocks)), dim3(kThreads), pointers, 0,
                                  c10::cuda::getCurrentCUDAStream()));
}

const void* Data(const Tensor& tensor) { return tensor.defined() ? tensor.const_data_ptr() : nullptr; }

Tensor SwiGluForward(const Tensor& gate_up) {
  const int64_t F = gate_up.size(-1) / 2;
  std::vector<int64_t> sizes = gate_up.sizes().vec();
  sizes.back() = F;
  const Tensor out = at::empty(sizes, gate_up.options());
  const auto& widths = KernelsOf(gate_up.device())->swiglu_forward;
  const int64_t count = out.numel() / (F % kWidest == 0 ? kWidest : 1);
  Launch(widths.For(F), count, Data(gate_up), out.mutable_data_ptr(), static_cast<unsigned>(count), static_cast<unsigned>(F));
  return out;
}

Tensor SwiGluBackward(const Tensor& gate_up, const Tensor& gradient) {
  const int64_t F = gate_up.size(-1) / 2;
  const Tensor to = at::empty(gate_up.sizes(), gate_up.options());
  const auto& widths = KernelsOf(gate_up.device())->swiglu_backward;
  const int64_t count = gradient.numel() / (F % kWidest == 0 ? kWidest : 1);
  Launch(widths.For(F), count, Data(gate_up), Data(gradient), to.mutable_data_ptr(), static_cast<unsigned>(count),
         static_cast<unsigned>(F));
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
  Launch(KernelsOf(qkv.device())->split_forward.For(n.K / 2), count, Data(qkv), Data(cos), Data(sin), Data(index),
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
  Launch(KernelsOf(cos.device())->split_backward.For(n.K / 2), count, Data(dq), Data(dk), Data(dv), StridesOf(dq),
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
