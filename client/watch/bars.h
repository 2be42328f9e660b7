// Small pictures of block characters.
#pragma once

#include <string>
#include <vector>

namespace espalier {

// `columns` wide, filled from the left to `share` in eighths of a column.
std::string ProgressBar(double share, int columns);

// One column a value, its height between the least and the greatest of them; with more values than columns, the last of
// each run of neighbours. Values that are no numbers are blanks.
std::string Sparkline(const std::vector<double>& values, int columns);

}  // namespace espalier
