#include "common/picture/fitness_chart.h"

#include <algorithm>

#include "absl/strings/str_format.h"
#include "common/picture/line_chart.h"
#include "common/picture/numbers.h"

namespace espalier {
namespace {

struct DeviceTimeUnit {
  double seconds;
  const char* label;
};

DeviceTimeUnit UnitFor(double seconds) {
  if (seconds < 300) return {1, "device time, seconds"};
  if (seconds < 3 * 3600) return {60, "device time, minutes"};
  return {3600, "device time, hours"};
}

std::string TooltipOf(const FitnessPoint& point, double value, const char* what) {
  std::string text = absl::StrFormat("generation %d: %.4f%s", point.generation + 1, value, what);
  if (point.engine_seconds > 0) text += " after " + FormatSeconds(point.engine_seconds) + " of device time";
  return text;
}

}  // namespace

Html FitnessChart(const std::vector<FitnessLine>& lines, FitnessBy by, double width) {
  double last_seconds = 0;
  for (const FitnessLine& line : lines) {
    for (const FitnessPoint& point : line.points) last_seconds = std::max(last_seconds, point.engine_seconds);
  }
  const bool is_by_time = by == FitnessBy::kDeviceTime;
  if (is_by_time && last_seconds <= 0) return {};
  const DeviceTimeUnit unit = UnitFor(last_seconds);
  const auto x_of = [&](const FitnessPoint& point) {
    return is_by_time ? point.engine_seconds / unit.seconds : point.generation + 1.0;
  };
  std::vector<ChartSeries> series;
  for (const FitnessLine& line : lines) {
    ChartSeries trained{line.css_class, {}}, one_shot{line.one_shot_class, {}};
    for (const FitnessPoint& point : line.points) {
      if (point.fitness > 0) {
        trained.points.push_back(
            {x_of(point), point.fitness, point.standard_error, TooltipOf(point, point.fitness, "")});
      }
      if (point.one_shot_fitness > 0) {
        one_shot.points.push_back(
            {x_of(point), point.one_shot_fitness, 0, TooltipOf(point, point.one_shot_fitness, " before training")});
      }
    }
    series.push_back(std::move(one_shot));
    series.push_back(std::move(trained));
  }
  ChartFrame frame;
  frame.label = is_by_time ? "fitness by device time" : "fitness by generation";
  frame.x_label = is_by_time ? unit.label : "generation";
  frame.counts_x = !is_by_time;
  frame.has_floor = true;
  frame.width = width;
  frame.height = width < 600 ? 260 : 300;
  return LineChart(frame, series);
}

}  // namespace espalier
