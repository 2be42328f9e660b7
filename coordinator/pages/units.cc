#include "coordinator/pages/units.h"

#include "absl/strings/str_cat.h"
#include "coordinator/pages/parts.h"

namespace espalier {
namespace {

bool AreSameUnits(const std::vector<PicturedUnit>& before, const std::vector<PicturedUnit>& after) {
  if (before.size() != after.size()) return false;
  for (size_t i = 0; i < before.size(); ++i) {
    if (before[i].name != after[i].name || before[i].size != after[i].size) return false;
  }
  return true;
}

}  // namespace

std::vector<PicturedUnit> PicturedUnits(const Ladder& ladder, const Mask& mask) {
  if (!Validate(ladder, mask).ok()) return {};
  std::vector<PicturedUnit> units;
  for (size_t i = 0; i < ladder.units.size(); ++i) {
    const UnitLadder& of = ladder.units[i];
    PicturedUnit unit;
    unit.name = Name(of.unit);
    unit.is_attention = of.unit.kind == UnitKind::kAttention;
    unit.layer = of.unit.layer;
    unit.size = of.size;
    unit.level = mask.levels[i];
    unit.num_levels = of.num_levels();
    unit.removed = of.removed[mask.levels[i]];
    units.push_back(std::move(unit));
  }
  return units;
}

Html MaskPictureOf(const std::vector<PicturedUnit>& units) {
  Html html = Scrolling(MaskChart(units));
  html += LegendOf(
      "Heads (attention) and neurons (FFN) kept in each layer; the stronger the colour, the more is left; a crossed "
      "cell is removed altogether.");
  return html;
}

Html MaskDifferenceOf(const std::vector<PicturedUnit>& before, const std::vector<PicturedUnit>& after) {
  if (!AreSameUnits(before, after)) return LegendOf("The two masks are of models with other units.");
  Html changes;
  int num_changes = 0;
  for (size_t i = 0; i < after.size(); ++i) {
    if (before[i].removed == after[i].removed) continue;
    ++num_changes;
    changes += Element("li", {},
                       absl::StrCat(after[i].name, ": ", before[i].size - before[i].removed, " \xE2\x86\x92 ",
                                    after[i].size - after[i].removed, after[i].is_attention ? " heads" : " neurons",
                                    after[i].removed == after[i].size ? " (removed)" : ""));
  }
  if (num_changes == 0) return LegendOf("No difference.");
  Html html = Scrolling(MaskDifferenceChart(before, after));
  html += LegendOf(Element("span", {}, KeyOf("--leaf", "square"), "keeps more \xC2\xA0 ", KeyOf("--red", "square"),
                           "keeps less \xC2\xA0 ", KeyOf("--faint", "square"), "as before"));
  html += Element("details", {}, Element("summary", {}, absl::StrCat(num_changes, " units differ")),
                  Element("ul", {{"class", "plain"}}, changes));
  return html;
}

}  // namespace espalier
