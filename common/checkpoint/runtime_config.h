// config.json as other runtimes read it, made from the text of a folder's own and its checked meaning. Pure.
#pragma once

#include <nlohmann/json.hpp>

#include "absl/status/statusor.h"
#include "common/domain/model_config.h"

namespace espalier::checkpoint {

// `own` is the folder's config.json; what it says beyond the shape (token ids and the like) is kept.
absl::StatusOr<nlohmann::json> NemotronNasConfig(nlohmann::json own, const ModelConfig& candidate);
nlohmann::json AnyModelConfig(nlohmann::json own, const ModelConfig& candidate);

// Parts of config.json. The numbers of the model as a whole, each in one spelling, in the place of whatever `own` says of them;
// the switches of transformers' families; rope_parameters; the sparse per_layer_config (what differs from the dense layer).
nlohmann::json WithNumbers(nlohmann::json own, const ModelConfig& model, NumberFormat format);
void SetSwitches(const ModelConfig& model, nlohmann::json* config);
nlohmann::json RopeParametersJson(const RopeConfig& rope);
nlohmann::json LayerMapJson(const ModelConfig& candidate);

}  // namespace espalier::checkpoint
