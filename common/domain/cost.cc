#include "common/domain/cost.h"

#include <cmath>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"

namespace espalier {
namespace {

// Without head orders: KV_GROUP removes whole groups, whichever they are; HEAD counts all KV heads (an upper bound).
LayerShape AttentionShape(const ModelConfig& dense, const Ladder& ladder, int layer, int removed,
                          const std::optional<HeadOrders>& head_orders) {
  if (removed == dense.num_heads) return LayerShape();
  if (removed == 0) return DenseLayer(dense);
  if (head_orders.has_value()) {
    return ShapeWithHeads(dense, KeptHeads((*head_orders)[layer], removed), ladder.keep_kv_whole);
  }
  std::vector<int> order(dense.num_heads);
  std::iota(order.begin(), order.end(), 0);
  const bool count_whole = ladder.head_granularity == HeadGranularity::kHead;
  return ShapeWithHeads(dense, KeptHeads(order, removed), count_whole);
}

// Matrix products count two operations a weight, attention 4 x head width x context (scores and mixing); norms,
// activations and the embedding look-up count nothing.
int64_t AttentionCost(const ModelConfig& dense, const CostOptions& options, const LayerShape& shape) {
  if (shape.num_heads() == 0) return 0;
  const int64_t query_width = int64_t{shape.num_heads()} * dense.head_size;
  const int64_t kv_width = int64_t{shape.num_kv_heads} * dense.head_size;
  switch (options.kind) {
    case CostKind::kParameters: return AttentionParameters(dense, shape);
    case CostKind::kFlopsPerToken:
      return 2 * int64_t{dense.hidden_size} * (2 * query_width + 2 * kv_width) +
             4 * query_width * options.context_tokens;
    case CostKind::kBytes:
      return BytesPerParameter(dense.number_format) *
             (AttentionParameters(dense, shape) + 2 * kv_width * options.context_tokens);
  }
  return 0;
}

int64_t FfnCost(const ModelConfig& dense, const CostOptions& options, int width) {
  LayerShape shape;
  shape.ffn_width = width;
  switch (options.kind) {
    case CostKind::kParameters: return FfnParameters(dense, shape);
    case CostKind::kFlopsPerToken: return 6 * int64_t{dense.hidden_size} * width;
    case CostKind::kBytes: return BytesPerParameter(dense.number_format) * FfnParameters(dense, shape);
  }
  return 0;
}

int64_t ConstantCost(const ModelConfig& dense, const CostOptions& options) {
  ModelConfig without_layers = dense;
  without_layers.layers.clear();
  switch (options.kind) {
    case CostKind::kParameters: return CountParameters(without_layers);
    case CostKind::kFlopsPerToken: return 2 * int64_t{dense.hidden_size} * dense.vocabulary_size;
    case CostKind::kBytes: return BytesPerParameter(dense.number_format) * CountParameters(without_layers);
  }
  return 0;
}

}  // namespace

const char* Name(CostKind kind) {
  switch (kind) {
    case CostKind::kParameters: return "parameters";
    case CostKind::kFlopsPerToken: return "FLOPs per token";
    case CostKind::kBytes: return "bytes";
  }
  return "unknown";
}

CostTable::CostTable(int64_t constant, std::vector<std::vector<int64_t>> by_unit_and_level)
    : constant_(constant), by_unit_and_level_(std::move(by_unit_and_level)) {}

int64_t CostTable::Of(const Mask& mask) const {
  ESPALIER_CHECK(mask.levels.size() == by_unit_and_level_.size());
  int64_t cost = constant_;
  for (size_t unit = 0; unit < mask.levels.size(); ++unit) cost += by_unit_and_level_[unit][mask.levels[unit]];
  return cost;
}

int64_t CostTable::Delta(const Mask& mask, int unit, int level) const {
  return by_unit_and_level_[unit][level] - by_unit_and_level_[unit][mask.levels[unit]];
}

CostTable BuildCostTable(const ModelConfig& dense, const Ladder& ladder, const CostOptions& options,
                         const std::optional<HeadOrders>& head_orders) {
  std::vector<std::vector<int64_t>> costs;
  costs.reserve(ladder.units.size());
  for (const UnitLadder& unit : ladder.units) {
    std::vector<int64_t> by_level;
    for (int removed : unit.removed) {
      by_level.push_back(
          unit.unit.kind == UnitKind::kAttention
              ? AttentionCost(dense, options, AttentionShape(dense, ladder, unit.unit.layer, removed, head_orders))
              : FfnCost(dense, options, unit.size - removed));
    }
    costs.push_back(std::move(by_level));
  }
  return CostTable(ConstantCost(dense, options), std::move(costs));
}

absl::StatusOr<int64_t> ResolveTarget(const Target& target, const CostTable& table) {
  int64_t dense = table.constant();
  int64_t reach = table.constant();
  for (const std::vector<int64_t>& by_level : table.by_unit_and_level()) {
    dense += by_level.front();
    reach += by_level.back();
  }
  int64_t budget = target.count;
  std::string said = absl::StrCat(target.count);
  if (target.count == 0) {
    if (!(target.share > 0) || target.share > 1) {
      return absl::InvalidArgumentError(absl::StrCat("target is a share of ", target.share,
                                                     ": it must be above 0 % and at most 100 % of the dense ", dense,
                                                     " (or give a count)"));
    }
    // A share such as 0.6 has no exact binary form; the small addend keeps 60 % of 10 at 6.
    budget = static_cast<int64_t>(std::floor(target.share * static_cast<double>(dense) + 1e-6));
    said = absl::StrCat(target.share * 100, "% (", budget, ")");
  }
  if (budget > dense) {
    return absl::InvalidArgumentError(absl::StrCat("target ", said, " is above the dense model's ", dense,
                                                   ": nothing would be pruned; give at most that"));
  }
  if (budget < reach) {
    return absl::InvalidArgumentError(
        absl::StrCat("target ", said, " is below what the ladder can reach: with every unit at its last level ", reach,
                     " of the dense ", dense, " remain"));
  }
  return budget;
}

}  // namespace espalier
