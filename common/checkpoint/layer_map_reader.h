// The sparse per_layer_config of an export.
#pragma once

#include "common/checkpoint/config_fields.h"
#include "common/domain/model_config.h"

namespace espalier::checkpoint {

// Fills config->layers, which has no entries yet: dense layers, changed as per_layer_config says.
void ReadLayerMap(ConfigFields* fields, ModelConfig* config);

}  // namespace espalier::checkpoint
