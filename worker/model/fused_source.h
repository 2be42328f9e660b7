// The CUDA source of worker/model/fused_ops.cc, compiled where it runs. bf16 in and out, arithmetic in fp32, one rounding at the
// end. N positions; H query heads, G KV heads, J KV heads after expansion; K head size; F FFN width.
#pragma once

namespace espalier {

inline constexpr char kFusedSource[] = R"cuda(
// out[n, f] = silu(gate_up[n, f]) * gate_up[n, F + f]
template <int V>
__device__ void SwiGluForward(const bf16* gate_up, bf16* out, unsigned count, unsigned F) {
  const unsigned per_row = F / V;
  for (unsigned i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += gridDim.x * blockDim.x) {
    const unsigned long long n = i / per_row;
    const unsigned f = (i % per_row) * V;
    const Pack<V> gate = Load<V>(gate_up + n * 2 * F + f), up = Load<V>(gate_up + n * 2 * F + F + f);
    Pack<V> result;
#pragma unroll
    for (int v = 0; v < V; ++v) {
      const float g = Wide(gate.at[v]);
      result.at[v] = Round(g / (1 + __expf(-g)) * Wide(up.at[v]));
    }
    Store<V>(out + n * F + f, result);
  }
}

template <int V>
__device__ void SwiGluBackward(const bf16* gate_up, const bf16* gradient, bf16* to, unsigned count, unsigned F) {
  const unsigned per_row = F / V;
  for (unsigned i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += gridDim.x * blockDim.x) {
    const unsigned long long n = i / per_row;
    const unsigned f = (i % per_row) * V;
    const Pack<V> gate = Load<V>(gate_up + n * 2 * F + f), up = Load<V>(gate_up + n * 2 * F + F + f);
    const Pack<V> down = Load<V>(gradient + n * F + f);
    Pack<V> to_gate, to_up;
#pragma unroll
    for (int v = 0; v < V; ++v) {
      const float g = Wide(gate.at[v]), d = Wide(down.at[v]), s = 1 / (1 + __expf(-g));
      to_gate.at[v] = Round(d * Wide(up.at[v]) * s * (1 + g * (1 - s)));
      to_up.at[v] = Round(d * g * s);
    }
    Store<V>(to + n * 2 * F + f, to_gate);
    Store<V>(to + n * 2 * F + F + f, to_up);
  }
}

struct Shape {
  int L, H, G, J, K;
};

// qkv [N, (H + 2G) K] -> q [N, H, K] and k [N, J, K], rotated, and v [N, J, K]; KV head j of J reads group index[j], or j.
template <int V>
__device__ void SplitForward(const bf16* qkv, const bf16* cos, const bf16* sin, const long long* index, bf16* q, bf16* k,
                             bf16* v, unsigned count, Shape s) {
  const unsigned half = s.K / 2, per_head = half / V, heads = s.H + 2 * s.J, width = (s.H + 2 * s.G) * s.K;
  for (unsigned i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += gridDim.x * blockDim.x) {
    const unsigned p = (i % per_head) * V, head = i / per_head % heads;
    const unsigned long long n = i / per_head / heads;
    const unsigned l = n % s.L;
    const bool is_query = head < s.H, is_value = head >= s.H + s.J;
    const unsigned j = is_query ? head : (head - s.H) % s.J;
    const unsigned group = is_query || index == nullptr ? j : static_cast<unsigned>(index[j]);
    const bf16* from = qkv + n * width + (is_query ? j : s.H + (is_value ? s.G : 0) + group) * s.K + p;
    bf16* to = is_query ? q + (n * s.H + j) * s.K + p : (is_value ? v : k) + (n * s.J + j) * s.K + p;
    const Pack<V> low = Load<V>(from), high = Load<V>(from + half);
    if (is_value) {
      Store<V>(to, low);
      Store<V>(to + half, high);
      continue;
    }
    const Pack<V> cos_low = Load<V>(cos + l * s.K + p), cos_high = Load<V>(cos + l * s.K + half + p);
    const Pack<V> sin_low = Load<V>(sin + l * s.K + p), sin_high = Load<V>(sin + l * s.K + half + p);
    Pack<V> to_low, to_high;
#pragma unroll
    for (int e = 0; e < V; ++e) {
      const float a = Wide(low.at[e]), b = Wide(high.at[e]);
      to_low.at[e] = Round(a * Wide(cos_low.at[e]) + b * Wide(sin_low.at[e]));
      to_high.at[e] = Round(b * Wide(cos_high.at[e]) + a * Wide(sin_high.at[e]));
    }
    Store<V>(to, to_low);
    Store<V>(to + half, to_high);
  }
}

struct Strides {  // of a gradient [B, L, heads, K] whose last dimension is dense
  long long b, l, h;
};

// The gradient of qkv. A KV group takes the sum over the heads that read it, in their order: the same bits every time.
template <int V>
__device__ void SplitBackward(const bf16* dq, const bf16* dk, const bf16* dv, Strides sq, Strides sk, Strides sv,
                              const bf16* cos, const bf16* sin, const long long* index, bf16* to_qkv, unsigned count, Shape s) {
  const unsigned half = s.K / 2, per_head = half / V, heads = s.H + 2 * s.G;
  for (unsigned i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += gridDim.x * blockDim.x) {
    const unsigned p = (i % per_head) * V, head = i / per_head % heads;
    const unsigned long long n = i / per_head / heads;
    const unsigned l = n % s.L, b = n / s.L;
    const bool is_query = head < s.H, is_value = head >= s.H + s.G;
    const unsigned group = is_query ? head : (head - s.H) % s.G;
    const Strides strides = is_query ? sq : is_value ? sv : sk;
    const bf16* from = (is_query ? dq : is_value ? dv : dk) + b * strides.b + l * strides.l + p;
    float low[V] = {}, high[V] = {};
    const unsigned first = is_query || index == nullptr ? group : 0;
    const unsigned last = is_query || index == nullptr ? group + 1 : s.J;
    for (unsigned j = first; j < last; ++j) {
      if (!is_query && index != nullptr && index[j] != group) continue;
      const Pack<V> a = Load<V>(from + j * strides.h), c = Load<V>(from + j * strides.h + half);
#pragma unroll
      for (int e = 0; e < V; ++e) {
        low[e] += Wide(a.at[e]);
        high[e] += Wide(c.at[e]);
      }
    }
    Pack<V> to_low, to_high;
    if (is_value) {
#pragma unroll
      for (int e = 0; e < V; ++e) {
        to_low.at[e] = Round(low[e]);
        to_high.at[e] = Round(high[e]);
      }
    } else {
      const Pack<V> cos_low = Load<V>(cos + l * s.K + p), cos_high = Load<V>(cos + l * s.K + half + p);
      const Pack<V> sin_low = Load<V>(sin + l * s.K + p), sin_high = Load<V>(sin + l * s.K + half + p);
#pragma unroll
      for (int e = 0; e < V; ++e) {
        to_low.at[e] = Round(low[e] * Wide(cos_low.at[e]) + high[e] * Wide(sin_high.at[e]));
        to_high.at[e] = Round(high[e] * Wide(cos_high.at[e]) + low[e] * Wide(sin_low.at[e]));
      }
    }
    bf16* to = to_qkv + n * heads * s.K + static_cast<unsigned long long>(head) * s.K + p;
    Store<V>(to, to_low);
    Store<V>(to + half, to_high);
  }
}

#define ESPALIER_KERNELS(V)                                                                                                   \
  extern "C" __global__ void swiglu_forward_##V(const bf16* gate_up, bf16* out, unsigned count, unsigned F) {                 \
    SwiGluForward<V>(gate_up, out, count, F);                                                                                 \
  }                                                                                                                           \
  extern "C" __global__ void swiglu_backward_##V(const bf16* gate_up, const bf16* gradient, bf16* to, unsigned count,         \
                                                 unsigned F) {                                                                \
    SwiGluBackward<V>(gate_up, gradient, to, count, F);                                                                       \
  }                                                                                                                           \
  extern "C" __global__ void split_forward_##V(const bf16* qkv, const bf16* cos, const bf16* sin, const long long* index,     \
                                               bf16* q, bf16* k, bf16* v, unsigned count, Shape s) {                          \
    SplitForward<V>(qkv, cos, sin, index, q, k, v, count, s);                                                                 \
  }                                                                                                                           \
  extern "C" __global__ void split_backward_##V(const bf16* dq, const bf16* dk, const bf16* dv, Strides sq, Strides sk,       \
                                                Strides sv, const bf16* cos, const bf16* sin, const long long* index,         \
                                                bf16* to, unsigned count, Shape s) {                                          \
    SplitBackward<V>(dq, dk, dv, sq, sk, sv, cos, sin, index, to, count, s);                                                  \
  }
ESPALIER_KERNELS(8)
ESPALIER_KERNELS(1)
)cuda";

}  // namespace espalier
