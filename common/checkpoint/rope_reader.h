// Rotary position settings of config.json, in the old spelling (rope_theta, rope_scaling with "type" or "rope_type")
// and in the new one (rope_parameters).
#pragma once

#include "common/checkpoint/config_fields.h"
#include "common/domain/model_config.h"

namespace espalier::checkpoint {

// Types default, linear and llama3; others, and keys that change the arithmetic in another way, fail by name.
RopeConfig ReadRope(ConfigFields* config, int64_t max_positions);

}  // namespace espalier::checkpoint
