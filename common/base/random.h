// Randomness as a function: a draw depends on (seed, purpose, indices) and on nothing that happened before, so a
// restarted coordinator makes the same choices and no generator state is saved. Bounded integers are mapped by our own
// rule, because the standard distributions differ between libraries.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <random>
#include <string_view>
#include <vector>

namespace espalier {

class KeyedRandom {
 public:
  KeyedRandom(uint64_t seed, std::string_view purpose, std::initializer_list<int64_t> indices);

  // Uniform in [0, bound); bound > 0. Rejection sampling, so exactly uniform.
  uint64_t Below(uint64_t bound);

  // Uniform in [0, 1), 53 bits.
  double Unit();

  uint64_t Next() { return generator_(); }

 private:
  std::mt19937_64 generator_;
};

// A permutation of 0..size-1 (Fisher-Yates over KeyedRandom).
std::vector<int64_t> KeyedPermutation(uint64_t seed, std::string_view purpose, std::initializer_list<int64_t> indices, int64_t size);

}  // namespace espalier
