// Lines over two axes as SVG. Colours come from the page's style sheet (style.h), so that they follow its light and dark
// themes. Pure.
#pragma once

#include <string>
#include <vector>

#include "common/picture/markup.h"

namespace espalier {

struct ChartPoint {
  double x = 0;
  double y = 0;
  double error = 0;  // a bar of so much each way; 0: none
  std::string tooltip;
};

struct ChartSeries {
  const char* css_class = "";
  std::vector<ChartPoint> points;  // by ascending x
};

struct ChartFrame {
  std::string label;    // what a screen reader says of the picture
  std::string x_label;
  bool counts_x = false;   // x are whole numbers from 1, else a measure from 0
  bool has_floor = false;   // y does not go below 0
  bool shows_unit = false;  // y shows 0 to 1 at least
  double width = 860;
  double height = 300;
};

// Empty without points.
Html LineChart(const ChartFrame& frame, const std::vector<ChartSeries>& series);

// Round numbers between which [low, high] lies, about `count` of them, ascending.
std::vector<double> NiceTicks(double low, double high, int count);

}  // namespace espalier
