// The CUDA source of worker/train/adamw_kernel.cc: AdamW from the leaves' own gradients to the published weights in one pass over
// memory. Per parameter it moves 2 bytes of gradient, 8 of master, 8 (or 4) + 8 (or 4) of moments and 2 of compute weight. P is how
// masters are stored, M how moments are; with P = bf16 (worker/train/adamw_lean_source.h) the masters are the compute weights.
#pragma once

namespace espalier {

inline constexpr char kAdamWSource[] = R"cuda(
constexpr int kMostLeaves = 128;  // as in adamw_kernel.cc
constexpr int kThreads = 256;
constexpr int kWide = 8;
constexpr int kTile = kThreads * kWide;

struct Leaves {
  const bf16* gradient[kMostLeaves];         // null: zero
  unsigned long long offset[kMostLeaves];    // in the flat buffers
  unsigned long long elements[kMostLeaves];
  unsigned tiles_end[kMostLeaves];
  int count;
};

struct Settings {
  double beta1, beta2;
  float epsilon, weight_decay;
};

struct Rates {  // of this step
  float learning_rate, step_size, correction2_root, correction2_inverse, clip;
};

// 48 random bits for an element and a step (the finalizer of splitmix64, Steele et al. 2014), from below: 16 for the first moment,
// 16 for the second one, 16 for the weight. As in stochastic_rounding.cc.
__device__ inline unsigned long long Random(unsigned long long element, unsigned step) {
  unsigned long long z = element * 0x9e3779b97f4a7c15ull + (static_cast<unsigned long long>(step) << 40) + step;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
  return (z ^ (z >> 31)) >> 16;
}

__device__ inline float Stored(float stored) { return stored; }
__device__ inline float Stored(bf16 stored) { return Wide(stored); }
__device__ inline void Keep(float* to, float value, unsigned long long) { *to = value; }
// Up or down with the probability of the distance: 16 random bits below, then cut.
__device__ inline void Keep(bf16* to, float value, unsigned long long random) {
  *to = static_cast<bf16>((__float_as_uint(value) + static_cast<unsigned>(random & 0xffffu)) >> 16);
}
// A NaN could be carried into a number. One among the moments makes its weight a NaN in the same step, so the weights are watched.
template <typename P>
__device__ inline void KeepWeight(P* to, float value, unsigned long long random) {
  Keep(to, value, random);
  if (sizeof(P) != sizeof(float) && value != value) *to = static_cast<P>(0x7fff);
}

// How far a weight goes. Not exact: by the card's units for roots and quotients alone, which are off by a unit or two of fp32's last
// place, for where 8 bits of what is stored are significant; exact ones are a third of all instructions then.
template <bool kExact>
__device__ inline float Distance(float m, float v, const Settings& s, const Rates& r) {
  if (kExact) return r.step_size * m / (sqrtf(v) / r.correction2_root + s.epsilon);
  float root;
  asm("sqrt.approx.f32 %0, %1;" : "=f"(root) : "f"(v));
  return __fdividef(r.step_size * m, root * r.correction2_inverse + s.epsilon);
}

template <bool kExact>
__device__ inline void Advance(float gradient, float& p, float& m, float& v, const Settings& s, const Rates& r) {
  const float g = gradient * r.clip, beta1 = s.beta1, beta2 = s.beta2;
  p -= r.learning_rate * s.weight_decay * p;
  m = beta1 * m + (1 - beta1) * g;
  v = beta2 * v + (1 - beta2) * g * g;
  p -= Distance<kExact>(m, v, s, r);
}

template <typename P>
constexpr bool kPublishes = sizeof(P) == sizeof(float);  // the weights are apart from the masters

template <typename P, typename M>
__device__ inline void Update(float gradient, P& master, M& first, M& second, bf16& weight, const Settings& s, const Rates& r,
                              unsigned long long random) {
  float p = Stored(master), m = Stored(first), v = Stored(second);
  Advance<sizeof(P) + sizeof(M) == 2 * sizeof(float)>(gradient, p, m, v, s, r);
  KeepWeight(&master, p, random >> 32);
  if (kPublishes<P>) weight = Round(p);
  Keep(&first, m, random);
  Keep(&second, v, random >> 16);
}

template <typename T>
struct alignas(16) Eight {
  T at[kWide];
};

__device__ inline Rates RatesOf(const float* learning_rate, const float* step, const float* clip, const Settings& s) {
  const double t = *step, rate = *learning_rate;
  const double correction2_root = sqrt(1 - pow(s.beta2, t));
  return {static_cast<float>(rate), static_cast<float>(rate / (1 - pow(s.beta1, t))), static_cast<float>(correction2_root),
          static_cast<float>(1 / correction2_root), clip == nullptr ? 1.0f : *clip};
}

__device__ inline int LeafOf(const Leaves& leaves, unsigned tile) {
  int low = 0;
  for (int high = leaves.count - 1; low < high;) {  // the first leaf that ends behind the tile
    const int middle = (low + high) / 2;
    if (leaves.tiles_end[middle] > tile) high = middle; else low = middle + 1;
  }
  return low;
}

__device__ inline unsigned long long InLeaf(const Leaves& leaves, int leaf, unsigned tile) {
  return static_cast<unsigned long long>(tile - (leaf == 0 ? 0 : leaves.tiles_end[leaf - 1])) * kTile + threadIdx.x * kWide;
}

template <typename P, typename M>
__device__ void Step(const Leaves& leaves, P* master, M* first, M* second, bf16* weights, const float* learning_rate,
                     const float* step, const float* all_steps, const float* clip, const Settings& s) {
  __shared__ Rates shared_rates;
  if (threadIdx.x == 0) shared_rates = RatesOf(learning_rate, step, clip, s);
  __syncthreads();
  const Rates r = shared_rates;
  const unsigned count = static_cast<unsigned>(*all_steps), num_tiles = leaves.tiles_end[leaves.count - 1];
  for (unsigned tile = blockIdx.x; tile < num_tiles; tile += gridDim.x) {
    const int leaf = LeafOf(leaves, tile);
    const unsigned long long in_leaf = InLeaf(leaves, leaf, tile);
    const unsigned long long elements = leaves.elements[leaf], at = leaves.offset[leaf] + in_leaf;
    const bf16* gradient = leaves.gradient[leaf];
    if (in_leaf + kWide <= elements) {
      Eight<P> p = *reinterpret_cast<Eight<P>*>(master + at);
      Eight<M> m = *reinterpret_cast<Eight<M>*>(first + at), v = *reinterpret_cast<Eight<M>*>(second + at);
      Pack<kWide> g = {}, w = {};
      if (gradient != nullptr) g = Load<kWide>(gradient + in_leaf);
#pragma unroll
      for (int i = 0; i < kWide; ++i) {
        Update(Wide(g.at[i]), p.at[i], m.at[i], v.at[i], w.at[i], s, r, Random(at + i, count));
      }
      *reinterpret_cast<Eight<P>*>(master + at) = p;
      *reinterpret_cast<Eight<M>*>(first + at) = m;
      *reinterpret_cast<Eight<M>*>(second + at) = v;
      if (kPublishes<P>) Store<kWide>(weights + at, w);
    } else {
      for (int i = 0; in_leaf + i < elements; ++i) {
        const float g = gradient == nullptr ? 0 : Wide(gradient[in_leaf + i]);
        Update(g, master[at + i], first[at + i], second[at + i], weights[at + i], s, r, Random(at + i, count));
      }
    }
  }
}

extern "C" __global__ void adamw_float(const __grid_constant__ Leaves leaves, float* master, float* first, float* second,
                                       bf16* weights, const float* learning_rate, const float* step, const float* all_steps,
                                       const float* clip, Settings s) {
  Step(leaves, master, first, second, weights, learning_rate, step, all_steps, clip, s);
}
extern "C" __global__ void adamw_bf16(const __grid_constant__ Leaves leaves, float* master, bf16* first, bf16* second,
                                      bf16* weights, const float* learning_rate, const float* step, const float* all_steps,
                                      const float* clip, Settings s) {
  Step(leaves, master, first, second, weights, learning_rate, step, all_steps, clip, s);
}
)cuda";

}  // namespace espalier
