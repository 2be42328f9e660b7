// The CUDA source of worker/model/fused_norm.cc: a residual addition with the RMS norm behind it, forward and backward. bf16 in and
// out, arithmetic in fp32. N positions, D hidden size; a thread holds up to two packs of eight columns.
#pragma once

namespace espalier {

inline constexpr char kNormSource[] = R"cuda(
constexpr int kWide = 8;
constexpr int kMostPacks = 2;

// Every thread gets the block's sum; always added in the same order.
__device__ inline float SumOfBlock(float mine) {
  __shared__ float of_warp[32];
  for (int lanes = 16; lanes > 0; lanes /= 2) mine += __shfl_xor_sync(~0u, mine, lanes);
  __syncthreads();
  if (threadIdx.x % 32 == 0) of_warp[threadIdx.x / 32] = mine;
  __syncthreads();
  float total = 0;
  for (int warp = 0; warp < blockDim.x / 32; ++warp) total += of_warp[warp];
  return total;
}

// hidden = x + delta, rounded; normed = hidden * scale * weight with scale = 1 / sqrt(mean(hidden^2) + epsilon). One block a row.
extern "C" __global__ void __launch_bounds__(512, 2) add_norm_forward(const bf16* x, const bf16* delta, const bf16* weight, bf16* hidden, bf16* normed,
                                            float* scales, int D, float epsilon) {
  const unsigned long long row = static_cast<unsigned long long>(blockIdx.x) * D;
  Pack<kWide> h[kMostPacks];
  float squares = 0;
#pragma unroll
  for (int p = 0; p < kMostPacks; ++p) {
    const int d = (p * blockDim.x + threadIdx.x) * kWide;
    if (d >= D) break;
    const Pack<kWide> a = Load<kWide>(x + row + d), b = Load<kWide>(delta + row + d);
#pragma unroll
    for (int i = 0; i < kWide; ++i) {
      h[p].at[i] = Round(Wide(a.at[i]) + Wide(b.at[i]));
      squares += Wide(h[p].at[i]) * Wide(h[p].at[i]);
    }
    Store<kWide>(hidden + row + d, h[p]);
  }
  const float scale = rsqrtf(SumOfBlock(squares) / D + epsilon);
  if (threadIdx.x == 0) scales[blockIdx.x] = scale;
#pragma unroll
  for (int p = 0; p < kMostPacks; ++p) {
    const int d = (p * blockDim.x + threadIdx.x) * kWide;
    if (d >= D) break;
    const Pack<kWide> w = Load<kWide>(weight + d);
    Pack<kWide> n;
#pragma unroll
    for (int i = 0; i < kWide; ++i) n.at[i] = Round(Wide(h[p].at[i]) * scale * Wide(w.at[i]));
    Store<kWide>(normed + row + d, n);
  }
}

// to = d_hidden + the norm's share of d_normed; d_hidden may be null. Each block goes over rows and leaves its sum of the weight's
// gradient in partial[block].
extern "C" __global__ void __launch_bounds__(512, 3) add_norm_backward(const bf16* hidden, const bf16* weight, const float* scales, const bf16* d_hidden,
                                             const bf16* d_normed, bf16* to, float* partial, int N, int D) {
  float d_weight[kMostPacks][kWide] = {};
  for (int n = blockIdx.x; n < N; n += gridDim.x) {
    const unsigned long long row = static_cast<unsigned long long>(n) * D;
    const float scale = scales[n];
    Pack<kWide> h[kMostPacks], g[kMostPacks];
    float product = 0;
#pragma unroll
    for (int p = 0; p < kMostPacks; ++p) {
      const int d = (p * blockDim.x + threadIdx.x) * kWide;
      if (d >= D) break;
      h[p] = Load<kWide>(hidden + row + d);
      g[p] = Load<kWide>(d_normed + row + d);
      const Pack<kWide> w = Load<kWide>(weight + d);
#pragma unroll
      for (int i = 0; i < kWide; ++i) {
        product += Wide(g[p].at[i]) * Wide(w.at[i]) * Wide(h[p].at[i]);
        d_weight[p][i] += Wide(g[p].at[i]) * Wide(h[p].at[i]) * scale;
      }
    }
    const float along = SumOfBlock(product) * scale * scale * scale / D;
#pragma unroll
    for (int p = 0; p < kMostPacks; ++p) {
      const int d = (p * blockDim.x + threadIdx.x) * kWide;
      if (d >= D) break;
      const Pack<kWide> w = Load<kWide>(weight + d);
      Pack<kWide> r = {}, out;
      if (d_hidden != nullptr) r = Load<kWide>(d_hidden + row + d);
#pragma unroll
      for (int i = 0; i < kWide; ++i) {
        out.at[i] = Round(Wide(r.at[i]) + scale * Wide(g[p].at[i]) * Wide(w.at[i]) - along * Wide(h[p].at[i]));
      }
      Store<kWide>(to + row + d, out);
    }
  }
#pragma unroll
  for (int p = 0; p < kMostPacks; ++p) {
    const int d = (p * blockDim.x + threadIdx.x) * kWide;
    if (d >= D) break;
#pragma unroll
    for (int i = 0; i < kWide; ++i) partial[static_cast<unsigned long long>(blockIdx.x) * D + d + i] = d_weight[p][i];
  }
}

// to[d] = the sum of partial[., d]. A block takes 32 columns, eight rows at a time.
extern "C" __global__ void add_rows(const float* partial, bf16* to, int rows, int D) {
  __shared__ float of_lane[8][32];
  const int column = threadIdx.x % 32, lane = threadIdx.x / 32, d = blockIdx.x * 32 + column;
  float sum = 0;
  for (int row = lane; row < rows && d < D; row += 8) sum += partial[static_cast<unsigned long long>(row) * D + d];
  of_lane[lane][column] = sum;
  __syncthreads();
  if (lane != 0 || d >= D) return;
  for (int other = 1; other < 8; ++other) sum += of_lane[other][column];
  to[d] = Round(sum);
}
)cuda";

}  // namespace espalier
