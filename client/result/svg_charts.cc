#include "client/result/svg_charts.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "client/render/format.h"

namespace espalier {
namespace {

constexpr double kWidth = 860;
constexpr double kHeight = 300;
constexpr double kLeft = 58;
constexpr double kRight = 16;
constexpr double kTop = 14;
constexpr double kBottom = 42;

struct Axes {
  double low = 0;
  double high = 1;
  int count = 1;
  double X(int index) const {
    const double inner = kWidth - kLeft - kRight;
    return kLeft + (count == 1 ? 0.5 : (index + 0.5) / count) * inner;
  }
  double Y(double value) const { return kTop + (high - value) / (high - low) * (kHeight - kTop - kBottom); }
};

Axes AxesOf(const std::vector<ReportGeneration>& history) {
  Axes axes;
  axes.count = static_cast<int>(history.size());
  double low = history[0].fitness, high = history[0].fitness;
  for (const ReportGeneration& generation : history) {
    low = std::min(low, generation.fitness - generation.standard_error);
    high = std::max(high, generation.fitness + generation.standard_error);
    if (generation.one_shot_fitness > 0) {
      low = std::min(low, generation.one_shot_fitness);
      high = std::max(high, generation.one_shot_fitness);
    }
  }
  const double margin = std::max((high - low) * 0.08, 1e-6 + std::abs(high) * 0.01);
  axes.low = std::max(0.0, low - margin);
  axes.high = high + margin;
  return axes;
}

std::string Grid(const Axes& axes) {
  std::string svg;
  const std::vector<double> ticks = NiceTicks(axes.low, axes.high, 5);
  const double step = ticks.size() > 1 ? ticks[1] - ticks[0] : 1;
  const int digits = std::max(0, static_cast<int>(std::ceil(-std::log10(step) - 1e-9)));
  for (const double tick : ticks) {
    if (tick < axes.low || tick > axes.high) continue;
    absl::StrAppendFormat(&svg, "<line class=\"grid\" x1=\"%g\" x2=\"%g\" y1=\"%.1f\" y2=\"%.1f\"/>", kLeft,
                          kWidth - kRight, axes.Y(tick), axes.Y(tick));
    absl::StrAppendFormat(&svg, "<text class=\"tick\" text-anchor=\"end\" x=\"%g\" y=\"%.1f\">%.*f</text>", kLeft - 8,
                          axes.Y(tick) + 4, digits, tick);
  }
  const int every = std::max(1, (axes.count + 19) / 20);
  for (int i = 0; i < axes.count; i += every) {
    absl::StrAppendFormat(&svg, "<text class=\"tick\" text-anchor=\"middle\" x=\"%.1f\" y=\"%g\">%d</text>", axes.X(i),
                          kHeight - kBottom + 18, i + 1);
  }
  absl::StrAppendFormat(&svg, "<text class=\"label\" text-anchor=\"middle\" x=\"%g\" y=\"%g\">generation</text>",
                        (kLeft + kWidth - kRight) / 2, kHeight - 6);
  return svg;
}

std::string Curve(const Axes& axes, const std::vector<ReportGeneration>& history, const char* css_class,
                  const std::function<double(const ReportGeneration&)>& value) {
  std::string points, dots;
  for (size_t i = 0; i < history.size(); ++i) {
    const double y = value(history[i]);
    if (y <= 0) continue;
    absl::StrAppendFormat(&points, "%.1f,%.1f ", axes.X(static_cast<int>(i)), axes.Y(y));
    absl::StrAppendFormat(
        &dots, "<circle class=\"%s\" r=\"3.5\" cx=\"%.1f\" cy=\"%.1f\"><title>generation %d: %.4f</title></circle>",
        css_class, axes.X(static_cast<int>(i)), axes.Y(y), i + 1, y);
  }
  if (points.empty()) return "";
  return absl::StrCat("<polyline class=\"", css_class, "\" points=\"", points, "\"/>", dots);
}

std::string ErrorBars(const Axes& axes, const std::vector<ReportGeneration>& history) {
  std::string svg;
  for (size_t i = 0; i < history.size(); ++i) {
    if (history[i].standard_error <= 0) continue;
    const double x = axes.X(static_cast<int>(i));
    const double top = axes.Y(history[i].fitness + history[i].standard_error);
    const double bottom = axes.Y(history[i].fitness - history[i].standard_error);
    absl::StrAppendFormat(&svg, "<path class=\"error\" d=\"M%.1f %.1fV%.1fM%.1f %.1fh8M%.1f %.1fh8\"/>", x, top, bottom,
                          x - 4, top, x - 4, bottom);
  }
  return svg;
}

std::string Tooltip(const ReportUnit& unit) {
  if (unit.removed == unit.size) return absl::StrCat(unit.name, ": removed");
  return absl::StrCat(unit.name, ": ", unit.size - unit.removed, " of ", unit.size,
                      unit.is_attention ? " heads" : " neurons", " kept, level ", unit.level, " of ",
                      unit.num_levels - 1);
}

std::string Cell(const ReportUnit& unit, double x, double y, double width, double height) {
  const std::string title = absl::StrCat("<title>", EscapeHtml(Tooltip(unit)), "</title>");
  if (unit.removed == unit.size) {
    return absl::StrFormat(
        "<g class=\"gone\">%s<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" rx=\"3\"/>"
        "<path d=\"M%.1f %.1fL%.1f %.1f\"/></g>",
        title, x, y, width, height, x + 3, y + height - 3, x + width - 3, y + 3);
  }
  std::string svg = absl::StrFormat(
      "<g><rect class=\"%s\" fill-opacity=\"%.3f\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" "
      "rx=\"3\"/>%s",
      unit.is_attention ? "attention" : "ffn", 0.12 + 0.88 * unit.kept_share(), x, y, width, height, title);
  if (width >= 30) {
    absl::StrAppendFormat(&svg, "<text class=\"%s\" text-anchor=\"middle\" x=\"%.1f\" y=\"%.1f\">%d</text>",
                          unit.kept_share() > 0.55 ? "on" : "off", x + width / 2, y + height / 2 + 4,
                          unit.size - unit.removed);
  }
  return svg + "</g>";
}

}  // namespace

std::string EscapeHtml(const std::string& text) {
  return absl::StrReplaceAll(text, {{"&", "&amp;"}, {"<", "&lt;"}, {">", "&gt;"}, {"\"", "&quot;"}, {"'", "&#39;"}});
}

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

std::string FitnessChart(const std::vector<ReportGeneration>& history) {
  if (history.empty()) return "";
  const Axes axes = AxesOf(history);
  return absl::StrCat(
      absl::StrFormat("<svg class=\"chart\" viewBox=\"0 0 %g %g\" role=\"img\" aria-label=\"fitness by generation\">",
                      kWidth, kHeight),
      Grid(axes), Curve(axes, history, "oneshot", [](const ReportGeneration& g) { return g.one_shot_fitness; }),
      ErrorBars(axes, history), Curve(axes, history, "fitness", [](const ReportGeneration& g) { return g.fitness; }),
      "</svg>");
}

std::string MaskChart(const std::vector<ReportUnit>& units) {
  int num_layers = 0;
  for (const ReportUnit& unit : units) num_layers = std::max(num_layers, unit.layer + 1);
  if (num_layers == 0) return "";
  constexpr double kLabelWidth = 76, kCellHeight = 40, kGap = 3, kHead = 20;
  const double pitch = std::clamp((kWidth - kLabelWidth) / num_layers, 8.0, 64.0);
  const double height = kHead + 2 * (kCellHeight + kGap);
  std::string svg = absl::StrFormat(
      "<svg class=\"mask\" viewBox=\"0 0 %.0f %.0f\" style=\"max-width:%.0fpx\" role=\"img\" aria-label=\"the mask, "
      "layers by units\">",
      kLabelWidth + pitch * num_layers, height, kLabelWidth + pitch * num_layers);
  const int every = std::max(1, static_cast<int>(std::ceil(22 / pitch)));
  for (int layer = 0; layer < num_layers; layer += every) {
    absl::StrAppendFormat(&svg, "<text class=\"tick\" text-anchor=\"middle\" x=\"%.1f\" y=\"13\">%d</text>",
                          kLabelWidth + (layer + 0.5) * pitch, layer);
  }
  absl::StrAppend(&svg, "<text class=\"tick\" x=\"0\" y=\"13\">layer</text>");
  absl::StrAppendFormat(
      &svg,
      "<text class=\"label\" x=\"0\" y=\"%.1f\">attention</text><text class=\"label\" x=\"0\" y=\"%.1f\">FFN</text>",
      kHead + kCellHeight / 2 + 4, kHead + kCellHeight * 1.5 + kGap + 4);
  for (const ReportUnit& unit : units) {
    svg += Cell(unit, kLabelWidth + unit.layer * pitch, kHead + (unit.is_attention ? 0 : kCellHeight + kGap),
                pitch - kGap, kCellHeight);
  }
  return svg + "</svg>";
}

}  // namespace espalier
