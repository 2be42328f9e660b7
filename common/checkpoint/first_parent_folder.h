// A pruned model of somebody else's making as a mask of the dense model it came from: what its config.json says of each
// layer's heads and neurons. Weights are not read.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "common/domain/model_config.h"

namespace espalier::checkpoint {

using RemovedUnits = std::vector<std::pair<std::string, int>>;  // unit name, removed heads or neurons

// Reads, by what is there:
//   block_configs, Nemotron-NAS:    attention {no_op, n_heads_in_group}, ffn {no_op, ffn_mult or intermediate_size}
//   block_configs, Puzzletron v1:   attention {no_op, num_key_value_heads}, ffn {no_op, intermediate_size}
//   block_configs, Puzzletron v2:   subblock_configs [{kind, no_op, num_query_heads, num_kv_heads, intermediate_size}]
//   block_configs, NemotronHPuzzle: block_type of each block; its mixers fit no dense decoder and are refused by name
//   per_layer_config:               our exports and vLLM's AnyModel
// kInvalidArgument names the layer and the value that is no pruned form of `dense`: another number of layers or hidden
// size, more heads or neurons, a part replaced by a linear map, fewer KV heads for all query heads.
absl::StatusOr<RemovedUnits> ParseRemovedUnits(const std::string& config_json, const std::string& name,
                                               const ModelConfig& dense);
absl::StatusOr<RemovedUnits> ReadRemovedUnits(const std::string& folder, const ModelConfig& dense);

}  // namespace espalier::checkpoint
