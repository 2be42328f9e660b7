#include "common/base/random.h"

#include <numeric>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/base/sha256.h"

namespace espalier {
namespace {

uint64_t KeyOf(uint64_t seed, std::string_view purpose, std::initializer_list<int64_t> indices) {
  std::string text = absl::StrCat("espalier-random-1|", seed, "|", absl::string_view(purpose.data(), purpose.size()));
  for (int64_t index : indices) absl::StrAppend(&text, "|", index);
  return std::stoull(Sha256Hex(text).substr(0, 16), nullptr, 16);
}

}  // namespace

KeyedRandom::KeyedRandom(uint64_t seed, std::string_view purpose, std::initializer_list<int64_t> indices)
    : generator_(KeyOf(seed, purpose, indices)) {}

uint64_t KeyedRandom::Below(uint64_t bound) {
  ESPALIER_CHECK(bound > 0);
  const uint64_t limit = UINT64_MAX - UINT64_MAX % bound;
  uint64_t value = generator_();
  while (value >= limit) value = generator_();
  return value % bound;
}

double KeyedRandom::Unit() { return static_cast<double>(generator_() >> 11) * 0x1.0p-53; }

std::vector<int64_t> KeyedPermutation(uint64_t seed, std::string_view purpose, std::initializer_list<int64_t> indices, int64_t size) {
  KeyedRandom random(seed, purpose, indices);
  std::vector<int64_t> order(size);
  std::iota(order.begin(), order.end(), 0);
  for (int64_t i = size - 1; i > 0; --i) std::swap(order[i], order[random.Below(static_cast<uint64_t>(i) + 1)]);
  return order;
}

}  // namespace espalier
