// What became of a generation's offspring, by the operators that made them.
#pragma once

#include <array>

namespace espalier {

// The level switches (mutation.h) that made an offspring out of its parent; up to three, so they may be of both kinds.
enum class Operator { kSameKind, kCrossKind, kBothKinds };
inline constexpr std::array<Operator, 3> kOperators = {Operator::kSameKind, Operator::kCrossKind, Operator::kBothKinds};
const char* Name(Operator by);  // "same_kind", "cross_kind", "both_kinds"

struct OffspringTally {
  int drawn = 0;
  int improved = 0;  // of them, those that came through to the last stage and were better there than the parent on the same windows
  bool operator==(const OffspringTally&) const = default;
};

class OffspringTallies {
 public:
  OffspringTally& operator[](Operator by) { return tallies_[static_cast<size_t>(by)]; }
  const OffspringTally& operator[](Operator by) const { return tallies_[static_cast<size_t>(by)]; }
  bool operator==(const OffspringTallies&) const = default;

 private:
  std::array<OffspringTally, kOperators.size()> tallies_ = {};
};

}  // namespace espalier
