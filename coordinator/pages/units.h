// Masks as the pictures and tables of pages need them.
#pragma once

#include <vector>

#include "common/domain/ladder.h"
#include "common/domain/mask.h"
#include "common/picture/mask_chart.h"

namespace espalier {

// Empty when the mask does not fit the ladder.
std::vector<PicturedUnit> PicturedUnits(const Ladder& ladder, const Mask& mask);

// The mask's picture with its legend.
Html MaskPictureOf(const std::vector<PicturedUnit>& units);

// Which units `after` keeps more or less of than `before`: picture, legend and a list in words. Says so when they are
// equal or have other units.
Html MaskDifferenceOf(const std::vector<PicturedUnit>& before, const std::vector<PicturedUnit>& after);

}  // namespace espalier
