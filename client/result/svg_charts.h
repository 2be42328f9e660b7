// Pictures as SVG text. Colours come from the page's CSS classes, so that they follow its light and dark themes. Pure.
#pragma once

#include <string>
#include <vector>

#include "client/result/run_report.h"

namespace espalier {

std::string EscapeHtml(const std::string& text);

// Round numbers between which [low, high] lies, about `count` of them, ascending.
std::vector<double> NiceTicks(double low, double high, int count);

// Fitness by generation with a bar of one standard error each way; one-shot fitness as a second line where it was
// measured. Empty without generations.
std::string FitnessChart(const std::vector<ReportGeneration>& history);

// The mask: one column a layer, one row for attention and one for FFN, shaded by what is kept; a removed unit is an
// outlined, crossed cell. Every cell has a tooltip in words.
std::string MaskChart(const std::vector<ReportUnit>& units);

}  // namespace espalier
