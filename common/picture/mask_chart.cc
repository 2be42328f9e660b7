#include "common/picture/mask_chart.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace espalier {
namespace {

constexpr double kWidth = 860;
constexpr double kLabelWidth = 76;
constexpr double kCellHeight = 40;
constexpr double kGap = 3;
constexpr double kHead = 20;
constexpr double kWidthOfNumber = 30;

struct Box {
  double x, y, width, height;
};

Html RectOf(const Box& box, const char* css_class, double opacity) {
  return VoidElement("rect", {{"class", css_class},
                              {"fill-opacity", opacity},
                              {"x", box.x},
                              {"y", box.y},
                              {"width", box.width},
                              {"height", box.height},
                              {"rx", 3}});
}

Html NumberIn(const Box& box, const char* css_class, const std::string& number) {
  if (box.width < kWidthOfNumber) return {};
  return Element("text",
                 {{"class", css_class},
                  {"text-anchor", "middle"},
                  {"x", box.x + box.width / 2},
                  {"y", box.y + box.height / 2 + 4}},
                 number);
}

Html CrossedCell(const Box& box, const std::string& tooltip) {
  const std::string cross = absl::StrFormat("M%.1f %.1fL%.1f %.1f", box.x + 3, box.y + box.height - 3,
                                            box.x + box.width - 3, box.y + 3);
  return Element("g", {{"class", "gone"}}, Element("title", {}, tooltip), RectOf(box, "hole", 1),
                 VoidElement("path", {{"d", cross}}));
}

Html CellOf(const PicturedUnit& unit, const Box& box) {
  if (unit.removed == unit.size) return CrossedCell(box, InWords(unit));
  // Between pale and full, dark ink is the one that can be read, on a light page and on a dark one.
  const char* ink = unit.kept_share() > 0.8 ? "on" : unit.kept_share() > 0.55 ? "mid" : "off";
  return Element("g", {}, Element("title", {}, InWords(unit)),
                 RectOf(box, unit.is_attention ? "attention" : "ffn", 0.12 + 0.88 * unit.kept_share()),
                 NumberIn(box, ink, absl::StrCat(unit.size - unit.removed)));
}

Html DifferenceCell(const PicturedUnit& before, const PicturedUnit& after, const Box& box) {
  const int more = before.removed - after.removed;
  if (more == 0) return Element("g", {}, Element("title", {}, InWords(after), "; as before"), RectOf(box, "same", 1));
  const std::string tooltip = absl::StrCat(InWords(after), "; before ", before.size - before.removed);
  return Element("g", {}, Element("title", {}, tooltip), RectOf(box, more > 0 ? "gain" : "loss", 1),
                 NumberIn(box, "on", absl::StrCat(more > 0 ? "+" : "\xE2\x88\x92", std::abs(more))));
}

Html GridOfUnits(const std::vector<PicturedUnit>& units, const char* label,
                 const std::function<Html(size_t, const Box&)>& cell) {
  int num_layers = 0;
  for (const PicturedUnit& unit : units) num_layers = std::max(num_layers, unit.layer + 1);
  if (num_layers == 0) return {};
  // As wide as it is: on a narrow screen it scrolls and stays readable.
  const double pitch = std::clamp((kWidth - kLabelWidth) / num_layers, 9.0, 46.0);
  const double width = kLabelWidth + pitch * num_layers;
  const double height = kHead + 2 * (kCellHeight + kGap);
  Html content = Element("text", {{"class", "tick"}, {"x", 0}, {"y", 13}}, "layer");
  const int every = std::max(1, static_cast<int>(std::ceil(22 / pitch)));
  for (int layer = 0; layer < num_layers; layer += every) {
    content += Element("text",
                       {{"class", "tick"},
                        {"text-anchor", "middle"},
                        {"x", kLabelWidth + layer * pitch + (pitch - kGap) / 2},
                        {"y", 13}},
                       absl::StrCat(layer));
  }
  content += Element("text", {{"class", "label"}, {"x", 0}, {"y", kHead + kCellHeight / 2 + 4}}, "attention");
  content += Element("text", {{"class", "label"}, {"x", 0}, {"y", kHead + kCellHeight * 1.5 + kGap + 4}}, "FFN");
  for (size_t i = 0; i < units.size(); ++i) {
    content += cell(i, {kLabelWidth + units[i].layer * pitch,
                        kHead + (units[i].is_attention ? 0 : kCellHeight + kGap), pitch - kGap, kCellHeight});
  }
  return Element("svg",
                 {{"class", "mask"},
                  {"viewBox", absl::StrFormat("0 0 %.0f %.0f", width, height)},
                  {"style", absl::StrFormat("width:%.0fpx", width)},
                  {"role", "img"},
                  {"aria-label", label}},
                 content);
}

}  // namespace

std::string InWords(const PicturedUnit& unit) {
  if (unit.removed == unit.size) return absl::StrCat(unit.name, ": removed");
  return absl::StrCat(unit.name, ": ", unit.size - unit.removed, " of ", unit.size,
                      unit.is_attention ? " heads" : " neurons", " kept, level ", unit.level, " of ",
                      unit.num_levels - 1);
}

Html MaskChart(const std::vector<PicturedUnit>& units) {
  return GridOfUnits(units, "the mask, layers by units",
                     [&](size_t i, const Box& box) { return CellOf(units[i], box); });
}

Html MaskDifferenceChart(const std::vector<PicturedUnit>& before, const std::vector<PicturedUnit>& after) {
  if (before.size() != after.size()) return {};
  return GridOfUnits(after, "the difference of two masks, layers by units",
                     [&](size_t i, const Box& box) { return DifferenceCell(before[i], after[i], box); });
}

}  // namespace espalier
