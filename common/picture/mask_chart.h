// Masks as pictures: one column a layer, one row for attention and one for FFN. Pure.
#pragma once

#include <string>
#include <vector>

#include "common/picture/markup.h"

namespace espalier {

struct PicturedUnit {
  std::string name;  // "attention[3]"
  bool is_attention = false;
  int layer = 0;
  int size = 0;  // heads or neurons when intact
  int level = 0;
  int num_levels = 0;
  int removed = 0;
  std::vector<int> kept_heads;  // attention, when known
  double kept_share() const { return size == 0 ? 0 : 1.0 - static_cast<double>(removed) / size; }
};

// "attention[3]: 6 of 8 heads kept, level 1 of 4"
std::string InWords(const PicturedUnit& unit);

// Shaded by what is kept; a removed unit is an outlined, crossed cell. Every cell has a tooltip in words. Empty without
// units.
Html MaskChart(const std::vector<PicturedUnit>& units);

// What `after` keeps more or less than `before`, which has the same units; equal cells are faint.
Html MaskDifferenceChart(const std::vector<PicturedUnit>& before, const std::vector<PicturedUnit>& after);

}  // namespace espalier
