#include "common/picture/line_chart.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "absl/strings/str_format.h"

namespace espalier {
namespace {

constexpr double kLeft = 58;
constexpr double kRight = 16;
constexpr double kTop = 14;
constexpr double kBottom = 42;
constexpr size_t kMaxLargeDots = 60;

struct Axes {
  double width = 0, height = 0;
  double x_low = 0, x_high = 1;
  double y_low = 0, y_high = 1;
  double X(double x) const { return kLeft + (x - x_low) / (x_high - x_low) * (width - kLeft - kRight); }
  double Y(double y) const { return kTop + (y_high - y) / (y_high - y_low) * (height - kTop - kBottom); }
};

Axes AxesOf(const ChartFrame& frame, const std::vector<ChartSeries>& series) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  double low = kInfinity, high = -kInfinity, last = frame.counts_x ? 1 : 0;
  for (const ChartSeries& one : series) {
    for (const ChartPoint& point : one.points) {
      low = std::min(low, point.y - point.error);
      high = std::max(high, point.y + point.error);
      last = std::max(last, point.x);
    }
  }
  Axes axes;
  axes.width = frame.width;
  axes.height = frame.height;
  axes.x_low = frame.counts_x ? 0.5 : 0;
  axes.x_high = frame.counts_x ? last + 0.5 : (last > 0 ? last * 1.02 : 1);
  const double margin = std::max((high - low) * 0.08, 1e-6 + std::abs(high) * 0.01);
  axes.y_low = frame.has_floor ? std::max(0.0, low - margin) : low - margin;
  axes.y_high = high + margin;
  if (frame.shows_unit) {
    axes.y_low = std::min(axes.y_low, -0.05);
    axes.y_high = std::max(1.05, high);
  }
  return axes;
}

std::string WithDigitsOf(double step, double value) {
  const int digits = std::clamp(static_cast<int>(std::ceil(-std::log10(step) - 1e-9)), 0, 9);
  return absl::StrFormat("%.*f", digits, std::abs(value) < step / 2 ? 0 : value);
}

Html Tick(double x, double y, const char* anchor, const std::string& text) {
  return Element("text", {{"class", "tick"}, {"text-anchor", anchor}, {"x", x}, {"y", y}}, text);
}

Html GridOf(const ChartFrame& frame, const Axes& axes) {
  Html svg;
  const std::vector<double> y_ticks = NiceTicks(axes.y_low, axes.y_high, 5);
  for (const double tick : y_ticks) {
    if (tick < axes.y_low || tick > axes.y_high) continue;
    const double y = axes.Y(tick);
    svg += VoidElement("line", {{"class", "grid"}, {"x1", kLeft}, {"x2", axes.width - kRight}, {"y1", y}, {"y2", y}});
    svg += Tick(kLeft - 8, y + 4, "end", WithDigitsOf(y_ticks.size() > 1 ? y_ticks[1] - y_ticks[0] : 1, tick));
  }
  const double y = axes.height - kBottom + 18;
  const int most = static_cast<int>(frame.width / 60);
  if (frame.counts_x) {
    const double last = axes.x_high - 0.5;
    double every = 1;
    for (const double step : {1., 2., 5., 10., 20., 50., 100., 200., 500., 1000., 2000., 5000.}) {
      every = step;
      if (last / step <= most) break;
    }
    for (double x = every; x <= last; x += every) svg += Tick(axes.X(x), y, "middle", absl::StrFormat("%.0f", x));
  } else {
    const std::vector<double> x_ticks = NiceTicks(axes.x_low, axes.x_high, std::min(4, most));
    for (const double tick : x_ticks) {
      if (tick > axes.x_high) continue;
      svg += Tick(axes.X(tick), y, "middle", WithDigitsOf(x_ticks.size() > 1 ? x_ticks[1] - x_ticks[0] : 1, tick));
    }
  }
  svg += Element("text",
                 {{"class", "label"},
                  {"text-anchor", "middle"},
                  {"x", (kLeft + axes.width - kRight) / 2},
                  {"y", axes.height - 6}},
                 frame.x_label);
  return svg;
}

Html ErrorBars(const Axes& axes, const ChartSeries& series, double half_width) {
  Html svg;
  for (const ChartPoint& point : series.points) {
    if (point.error <= 0) continue;
    const double x = axes.X(point.x), top = axes.Y(point.y + point.error), bottom = axes.Y(point.y - point.error);
    svg += VoidElement("path", {{"class", "error"},
                                {"d", absl::StrFormat("M%.1f %.1fV%.1fM%.1f %.1fh%gM%.1f %.1fh%g", x, top, bottom,
                                                      x - half_width, top, half_width * 2, x - half_width, bottom,
                                                      half_width * 2)}});
  }
  return svg;
}

// Where bars would lie over each other: one shape between their ends. Points without an error have none.
Html ErrorBand(const Axes& axes, const ChartSeries& series) {
  std::string there, back;
  for (const ChartPoint& point : series.points) {
    if (point.error <= 0) continue;
    absl::StrAppendFormat(&there, "%c%.1f %.1f", there.empty() ? 'M' : 'L', axes.X(point.x), axes.Y(point.y + point.error));
    back = absl::StrFormat("L%.1f %.1f", axes.X(point.x), axes.Y(point.y - point.error)) + back;
  }
  if (there.empty()) return {};
  return VoidElement("path", {{"class", "band"}, {"d", there + back + "Z"}});
}

Html CurveOf(const Axes& axes, const ChartSeries& series, double radius) {
  std::string points;
  Html dots;
  for (const ChartPoint& point : series.points) {
    const double x = axes.X(point.x), y = axes.Y(point.y);
    absl::StrAppendFormat(&points, "%.1f,%.1f ", x, y);
    dots += Element("circle", {{"class", series.css_class}, {"r", radius}, {"cx", x}, {"cy", y}},
                    Element("title", {}, point.tooltip));
  }
  Html svg = VoidElement("polyline", {{"class", series.css_class}, {"points", points}});
  svg += dots;
  return svg;
}

}  // namespace

std::vector<double> NiceTicks(double low, double high, int count) {
  if (!(high > low)) return {low};
  const double raw = (high - low) / std::max(1, count);
  const double power = std::pow(10, std::floor(std::log10(raw)));
  const double step = raw / power < 1.5   ? power
                      : raw / power < 3.5 ? 2 * power
                      : raw / power < 7.5 ? 5 * power
                                          : 10 * power;
  std::vector<double> ticks;
  for (double index = std::floor(low / step); index * step <= high + step * 0.5; ++index) ticks.push_back(index * step);
  return ticks;
}

Html LineChart(const ChartFrame& frame, const std::vector<ChartSeries>& series) {
  size_t most = 0;
  for (const ChartSeries& one : series) most = std::max(most, one.points.size());
  if (most == 0) return {};
  const Axes axes = AxesOf(frame, series);
  const double radius = most > kMaxLargeDots ? 1.8 : frame.width < 600 ? 2.8 : 3.5;
  Html content = GridOf(frame, axes);
  for (const ChartSeries& one : series) {
    if (one.points.empty()) continue;
    content += most > kMaxLargeDots ? ErrorBand(axes, one) : ErrorBars(axes, one, 4);
    content += CurveOf(axes, one, radius);
  }
  return Element("svg",
                 {{"class", "chart"},
                  {"viewBox", absl::StrFormat("0 0 %g %g", frame.width, frame.height)},
                  {"role", "img"},
                  {"aria-label", frame.label}},
                 content);
}

}  // namespace espalier
