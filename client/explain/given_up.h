// Which unit gave how many parameters, exactly.
#pragma once

#include "client/explain/explanation.h"
#include "common/domain/model_config.h"

namespace espalier {

// `pruned` has the result's layers and the dense model's widths, as an export's config.json. Empty when it is of another
// model than the report, or when the sum is not what the report says went.
GivenUp ParametersGivenUp(const ModelConfig& pruned, const RunReport& report);

// The dense model's configuration with the layers that the report's kept heads and neurons leave.
ModelConfig PrunedAsReported(const ModelConfig& dense, const RunReport& report, bool keep_kv_whole);

}  // namespace espalier
