// The UNIFORM mask: the same share removed from every unit, as far as the ladder goes.
#pragma once

#include <cstdint>

#include "common/domain/cost.h"

namespace espalier {

// The smallest share s for which the mask with every unit at its first level that removes at least s of it fits the
// target (a unit without such a level is put at its last); then full in the ladder's order. The last levels must fit.
Mask UniformMask(const Ladder& ladder, const Cost& cost, int64_t target);

}  // namespace espalier
