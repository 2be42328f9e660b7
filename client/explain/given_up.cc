#include "client/explain/given_up.h"

#include <algorithm>
#include <set>

namespace espalier {
namespace {

// Head i of the dense model reads KV head i / heads_per_group; those that nobody reads are dropped.
void SetAttention(const ModelConfig& dense, const ReportUnit& unit, bool keep_kv_whole, LayerShape& layer) {
  layer.head_to_kv.clear();
  layer.num_kv_heads = 0;
  if (unit.removed == unit.size) return;
  std::vector<int> groups;
  for (const int head : unit.kept_heads) groups.push_back(head / dense.heads_per_group());
  if (keep_kv_whole) {
    layer.head_to_kv = groups;
    layer.num_kv_heads = dense.num_kv_heads;
    return;
  }
  const std::set<int> used(groups.begin(), groups.end());
  for (const int group : groups)
    layer.head_to_kv.push_back(static_cast<int>(std::distance(used.begin(), used.find(group))));
  layer.num_kv_heads = static_cast<int>(used.size());
}

}  // namespace

GivenUp ParametersGivenUp(const ModelConfig& pruned, const RunReport& report) {
  GivenUp given;
  int64_t sum = 0;
  const LayerShape dense = DenseLayer(pruned);
  for (const ReportUnit& unit : report.units) {
    if (unit.layer < 0 || unit.layer >= static_cast<int>(pruned.layers.size())) return {};
    const LayerShape& layer = pruned.layers[unit.layer];
    given.push_back(unit.is_attention ? AttentionParameters(pruned, dense) - AttentionParameters(pruned, layer)
                                      : FfnParameters(pruned, dense) - FfnParameters(pruned, layer));
    sum += given.back();
  }
  return sum == report.dense_parameters - report.parameters ? given : GivenUp{};
}

ModelConfig PrunedAsReported(const ModelConfig& dense, const RunReport& report, bool keep_kv_whole) {
  ModelConfig pruned = dense;
  for (const ReportUnit& unit : report.units) {
    if (unit.layer < 0 || unit.layer >= static_cast<int>(pruned.layers.size())) continue;
    LayerShape& layer = pruned.layers[unit.layer];
    if (unit.is_attention) {
      SetAttention(dense, unit, keep_kv_whole, layer);
    } else {
      layer.ffn_width = unit.size - unit.removed;
    }
  }
  return pruned;
}

}  // namespace espalier
