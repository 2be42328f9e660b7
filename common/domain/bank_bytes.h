// How large a level bank is: a function of the model's shape and the ladder, known before it is built.
#pragma once

#include <cstdint>

#include "common/domain/ladder.h"
#include "common/domain/model_config.h"

namespace espalier {

// The shrunk output projections of all layers, in the checkpoint's number format: level 0 is the checkpoint's, the last
// level has no weights, what lies between is stored. Orders, errors and biases are too small to count.
int64_t BankBytes(const ModelConfig& dense, const Ladder& ladder);

}  // namespace espalier
