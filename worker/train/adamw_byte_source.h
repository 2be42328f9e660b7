// The CUDA source of AdamW with moments of one byte (worker/train/byte_moments.h); it follows kAdamWSource. A warp has a block
// of 256 moments in its registers: it expands them, takes the step, finds the new largest magnitudes and rounds to bytes again.
// Per parameter it moves 2 bytes of gradient, 8 of master, 2 + 2 of moments and 2 of compute weight.
#pragma once

namespace espalier {

inline constexpr char kAdamWByteSource[] = R"cuda(
struct alignas(kWide) Bytes {
  unsigned char at[kWide];
};

// The code of x, which is a share of the block's largest: up or down with the probability of the distance.
__device__ inline unsigned char Encode(const float* values, float x, unsigned random) {
  unsigned code = 0;
#pragma unroll
  for (unsigned half = 128; half > 0; half /= 2) {
    if (values[code + half] <= x) code += half;
  }
  if (code < 255) {
    const float below = values[code], above = values[code + 1];
    if (static_cast<float>(random & 0xffffu) * (1.0f / 65536) < __fdividef(x - below, above - below)) ++code;
  }
  return static_cast<unsigned char>(code);
}

__device__ inline float LargestOfWarp(float x) {
#pragma unroll
  for (int distance = 16; distance > 0; distance /= 2) x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, distance));
  return x;
}

template <typename P>
__device__ void StepBytes(const Leaves& leaves, unsigned first_tile, P* master, unsigned char* first, float* first_scales,
                          unsigned char* second, float* second_scales, const float* table, bf16* weights, const float* learning_rate,
                          const float* step, const float* all_steps, const float* clip, const Settings& s) {
  __shared__ float values[512];  // of first moments, of second ones
  for (int i = threadIdx.x; i < 512; i += kThreads) values[i] = table[i];
  __shared__ Rates shared_rates;
  if (threadIdx.x == 0) shared_rates = RatesOf(learning_rate, step, clip, s);
  __syncthreads();
  const Rates r = shared_rates;
  const unsigned count = static_cast<unsigned>(*all_steps), num_tiles = leaves.tiles_end[leaves.count - 1];
  for (unsigned tile = blockIdx.x; tile < num_tiles; tile += gridDim.x) {
    const int leaf = LeafOf(leaves, tile);
    const unsigned long long in_leaf = InLeaf(leaves, leaf, tile);
    const unsigned long long elements = leaves.elements[leaf], at = leaves.offset[leaf] + in_leaf;
    const int here = in_leaf >= elements ? 0 : static_cast<int>(min(elements - in_leaf, static_cast<unsigned long long>(kWide)));
    const unsigned long long block = static_cast<unsigned long long>(first_tile + tile) * (kThreads / 32) + threadIdx.x / 32;
    const float scale1 = first_scales[block], scale2 = second_scales[block];
    const bf16* gradient = leaves.gradient[leaf];
    Eight<P> p = {};
    Bytes c1 = {}, c2 = {};
    Pack<kWide> g = {}, w = {};
    if (here == kWide) {
      p = *reinterpret_cast<Eight<P>*>(master + at);
      c1 = *reinterpret_cast<Bytes*>(first + at);
      c2 = *reinterpret_cast<Bytes*>(second + at);
      if (gradient != nullptr) g = Load<kWide>(gradient + in_leaf);
    } else {
      for (int i = 0; i < here; ++i) {
        p.at[i] = master[at + i];
        c1.at[i] = first[at + i];
        c2.at[i] = second[at + i];
        if (gradient != nullptr) g.at[i] = gradient[in_leaf + i];
      }
    }
    float x[kWide], m[kWide], v[kWide], most1 = 0, most2 = 0;
#pragma unroll
    for (int i = 0; i < kWide; ++i) {
      m[i] = values[c1.at[i]] * scale1;
      v[i] = values[256 + c2.at[i]] * scale2;
      x[i] = Stored(p.at[i]);
      if (i < here) Advance<false>(Wide(g.at[i]), x[i], m[i], v[i], s, r);
      if (i >= here) m[i] = v[i] = 0;
      if (kPublishes<P>) w.at[i] = Round(x[i]);
      most1 = fmaxf(most1, fabsf(m[i]));
      most2 = fmaxf(most2, v[i]);
    }
    most1 = LargestOfWarp(most1);
    most2 = LargestOfWarp(most2);
    const float divisor1 = most1 > 0 ? most1 : 1, divisor2 = most2 > 0 ? most2 : 1;
#pragma unroll
    for (int i = 0; i < kWide; ++i) {
      const unsigned long long random = Random(at + i, count);
      KeepWeight(&p.at[i], x[i], random >> 32);
      c1.at[i] = Encode(values, m[i] / divisor1, static_cast<unsigned>(random));
      c2.at[i] = Encode(values + 256, v[i] / divisor2, static_cast<unsigned>(random >> 16));
      if (v[i] > 0 && c2.at[i] == 0) c2.at[i] = 1;
    }
    if (here == kWide) {
      *reinterpret_cast<Eight<P>*>(master + at) = p;
      *reinterpret_cast<Bytes*>(first + at) = c1;
      *reinterpret_cast<Bytes*>(second + at) = c2;
      if (kPublishes<P>) Store<kWide>(weights + at, w);
    } else {
      for (int i = 0; i < here; ++i) {
        master[at + i] = p.at[i];
        first[at + i] = c1.at[i];
        second[at + i] = c2.at[i];
        if (kPublishes<P>) weights[at + i] = w.at[i];
      }
    }
    if (threadIdx.x % 32 == 0) {
      first_scales[block] = most1;
      second_scales[block] = most2;
    }
  }
}

extern "C" __global__ void __launch_bounds__(kThreads)
    adamw_byte(const __grid_constant__ Leaves leaves, unsigned first_tile, float* master, unsigned char* first, float* first_scales,
               unsigned char* second, float* second_scales, const float* table, bf16* weights, const float* learning_rate,
               const float* step, const float* all_steps, const float* clip, Settings s) {
  StepBytes(leaves, first_tile, master, first, first_scales, second, second_scales, table, weights, learning_rate, step, all_steps,
            clip, s);
}
)cuda";

}  // namespace espalier
