// What the forward pass does between its matrix products, as one kernel each where LibTorch needs up to fifteen small ones:
// on a GPU, in bf16. Differentiable. The plain operators of forward.cc do the same with a rounding after each of them.
#pragma once

#include <torch/types.h>

#include <cstdint>

namespace espalier {

// Whether the fused operators serve this tensor: bf16 on a CUDA device for which their source could be compiled (once a
// process; the reason why not is logged once), and not switched off.
bool HasFusedOps(const torch::Tensor& x);

// For measurements and checks of the one against the other; on at the start.
void SwitchFusedOps(bool on);

struct SplitHeads {
  torch::Tensor q_BLHK, k_BLJK, v_BLJK;  // q and k rotated
};
// qkv_BLW holds H query heads, G key heads and G value heads of size K. J = G, or J = H with the KV head of each query head
// in kv_index_H (undefined: J = G). The tables are those of RotaryTables, of exactly L positions.
SplitHeads SplitAndRotate(const torch::Tensor& qkv_BLW, const torch::Tensor& cos_LK, const torch::Tensor& sin_LK,
                          const torch::Tensor& kv_index_H, int64_t num_heads, int64_t num_kv_heads, int64_t head_size);

// silu(first half) * second half of the last dimension.
torch::Tensor SwiGlu(const torch::Tensor& gate_up);

}  // namespace espalier
