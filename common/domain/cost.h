// What the budget limits. A true cost of the candidate's shape, never a sum of levels.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/domain/mask.h"

namespace espalier {

enum class CostKind { kParameters, kFlopsPerToken, kBytes };
const char* Name(CostKind kind);  // "parameters", "FLOPs per token", "bytes"

struct CostOptions {
  CostKind kind = CostKind::kParameters;
  int64_t context_tokens = 0;  // kFlopsPerToken: positions attended to; kBytes: tokens in the KV cache
  bool operator==(const CostOptions&) const = default;
};

struct Target {
  double share = 0;   // of the dense model's cost, 0 < share <= 1; used when count is 0
  int64_t count = 0;  // absolute
  bool operator==(const Target&) const = default;
};

// "60%", "2.36M", "4.6B", "2362560"; kInvalidArgument quotes the text and says what is accepted.
absl::StatusOr<Target> ParseTarget(const std::string& text);

// A cost answers Of(mask) and Delta(mask, unit, level): what the cost of the mask becomes when one unit moves.
class Cost {
 public:
  virtual ~Cost() = default;
  virtual int64_t Of(const Mask& mask) const = 0;
  virtual int64_t Delta(const Mask& mask, int unit, int level) const = 0;  // Of(moved) - Of(mask)
};

// A cost that is a constant plus a sum over units; ADDITIVE's exact solver needs one.
class CostTable final : public Cost {
 public:
  CostTable(int64_t constant, std::vector<std::vector<int64_t>> by_unit_and_level);
  int64_t Of(const Mask& mask) const override;
  int64_t Delta(const Mask& mask, int unit, int level) const override;
  int64_t constant() const { return constant_; }
  const std::vector<std::vector<int64_t>>& by_unit_and_level() const { return by_unit_and_level_; }

 private:
  int64_t constant_;
  std::vector<std::vector<int64_t>> by_unit_and_level_;
};

// With head orders the table is exact. Without them (a preview before the bank exists) KV_GROUP is exact as well; with
// HEAD, KV heads count whole: an upper bound.
CostTable BuildCostTable(const ModelConfig& dense, const Ladder& ladder, const CostOptions& options,
                         const std::optional<HeadOrders>& head_orders);

// The budget in units of the cost. kInvalidArgument when above the dense cost or below what the ladder's last levels reach.
absl::StatusOr<int64_t> ResolveTarget(const Target& target, const CostTable& table);

}  // namespace espalier
