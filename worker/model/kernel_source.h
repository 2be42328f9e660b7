// What CUDA sources of ours begin with: bf16 without a header, since none is at hand where they are compiled.
#pragma once

#include <string>

namespace espalier {

inline constexpr char kBf16Source[] = R"cuda(
typedef unsigned short bf16;  // its bits: no header is at hand where this is compiled

__device__ inline float Wide(bf16 x) { return __uint_as_float(static_cast<unsigned>(x) << 16); }
__device__ inline bf16 Round(float x) {  // to nearest even
  const unsigned bits = __float_as_uint(x);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return 0x7fff;
  return static_cast<bf16>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

template <int V>
struct alignas(2 * V) Pack {
  bf16 at[V];
};
template <int V>
__device__ inline Pack<V> Load(const bf16* from) { return *reinterpret_cast<const Pack<V>*>(from); }
template <int V>
__device__ inline void Store(bf16* to, const Pack<V>& pack) { *reinterpret_cast<Pack<V>*>(to) = pack; }
)cuda";

// The whole text to compile.
inline std::string WithBf16(const char* source) { return std::string(kBf16Source) + source; }

}  // namespace espalier
