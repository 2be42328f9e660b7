// The mask drawn in the terminal with block characters.
#pragma once

#include <string>
#include <vector>

#include "client/result/run_report.h"

namespace espalier {

// One column a layer (wrapped at `width` terminal columns), a row for attention and one for FFN: the height of a block
// is what is kept, a dot is a removed unit. With colours when asked for.
std::string MaskPicture(const std::vector<ReportUnit>& units, int width, bool use_colours);

}  // namespace espalier
