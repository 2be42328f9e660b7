// The parts of an explanation that read the mask.
#include <algorithm>
#include <cmath>
#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/explain/explanation.h"
#include "client/render/format.h"

namespace espalier {
namespace {

constexpr size_t kMostNamed = 4;

struct LayerGift {
  int layer = 0;
  double given = 0;
  std::vector<std::string> parts;
};

std::string Things(const ReportUnit& unit, int count) {
  return unit.is_attention ? absl::StrCat(count, count == 1 ? " head" : " heads")
                           : absl::StrCat(count, count == 1 ? " neuron" : " neurons");
}

std::string NameAll(std::vector<std::string> names) {
  constexpr size_t kMost = 12;
  if (names.size() > kMost) {
    const size_t more = names.size() - kMost;
    names.resize(kMost);
    return absl::StrCat(absl::StrJoin(names, ", "), " and ", more, " more");
  }
  return absl::StrJoin(names, ", ");
}

std::vector<LayerGift> LayersByGift(const RunReport& report, const GivenUp& given_up) {
  std::map<int, LayerGift> by_layer;
  for (size_t i = 0; i < report.units.size(); ++i) {
    const ReportUnit& unit = report.units[i];
    LayerGift& gift = by_layer[unit.layer];
    gift.layer = unit.layer;
    gift.given += given_up.empty() ? 1 - unit.kept_share() : static_cast<double>(given_up[i]);
    if (unit.removed > 0) gift.parts.push_back(absl::StrCat(unit.removed, " of ", Things(unit, unit.size)));
  }
  std::vector<LayerGift> gifts;
  for (auto& [layer, gift] : by_layer) gifts.push_back(std::move(gift));
  std::stable_sort(gifts.begin(), gifts.end(), [](const LayerGift& a, const LayerGift& b) { return a.given > b.given; });
  return gifts;
}

// The mean kept share of the units of one kind in layers [begin, end).
double KeptShare(const RunReport& report, bool is_attention, int begin, int end) {
  double sum = 0;
  int count = 0;
  for (const ReportUnit& unit : report.units) {
    if (unit.is_attention != is_attention || unit.layer < begin || unit.layer >= end) continue;
    sum += unit.kept_share();
    ++count;
  }
  return count == 0 ? 0 : sum / count;
}

int NumLayers(const RunReport& report) {
  int layers = 0;
  for (const ReportUnit& unit : report.units) layers = std::max(layers, unit.layer + 1);
  return layers;
}

std::string KindShares(const RunReport& report, const GivenUp& given_up) {
  double attention = 0, ffn = 0;
  for (size_t i = 0; i < report.units.size(); ++i)
    (report.units[i].is_attention ? attention : ffn) += static_cast<double>(given_up[i]);
  if (attention + ffn <= 0) return "Nothing was removed.";
  return absl::StrCat("Of the ", FormatCount(attention + ffn), " parameters that went, attention gave ",
                      FormatPercent(attention / (attention + ffn)), " and the FFNs ",
                      FormatPercent(ffn / (attention + ffn)), ".");
}

}  // namespace

ExplanationPart ExplainWhatGave(const RunReport& report, const GivenUp& given_up) {
  ExplanationPart part{"What gave most", {}};
  if (report.units.empty()) return part;
  if (!given_up.empty()) part.sentences.push_back(KindShares(report, given_up));
  const std::vector<LayerGift> gifts = LayersByGift(report, given_up);
  double total = 0;
  for (const LayerGift& gift : gifts) total += gift.given;
  std::vector<std::string> named;
  for (size_t i = 0; i < std::min(kMostNamed, gifts.size()) && gifts[i].given > 0; ++i) {
    named.push_back(absl::StrCat("layer ", gifts[i].layer, " (", FormatPercent(gifts[i].given / total), ": ",
                                 absl::StrJoin(gifts[i].parts, ", "), ")"));
  }
  if (!named.empty()) {
    part.sentences.push_back(absl::StrCat(named.size() < gifts.size() ? "The layers that gave most: " : "By layer: ",
                                          absl::StrJoin(named, "; "), "."));
  }
  std::vector<std::string> gone;
  for (const ReportUnit& unit : report.units) {
    if (unit.removed == unit.size && unit.size > 0) gone.push_back(unit.name);
  }
  if (!gone.empty()) part.sentences.push_back(absl::StrCat("Removed altogether: ", NameAll(gone), "."));
  return part;
}

ExplanationPart ExplainWhatWasKept(const RunReport& report) {
  ExplanationPart part{"What was protected", {}};
  if (report.units.empty()) return part;
  std::vector<std::string> intact;
  for (const ReportUnit& unit : report.units) {
    if (unit.removed == 0) intact.push_back(unit.name);
  }
  if (!intact.empty()) part.sentences.push_back(absl::StrCat("Intact: ", NameAll(intact), "."));
  for (const bool is_attention : {true, false}) {
    std::vector<const ReportUnit*> best;
    for (const ReportUnit& unit : report.units) {
      if (unit.is_attention == is_attention && unit.removed > 0 && unit.removed < unit.size) best.push_back(&unit);
    }
    std::stable_sort(best.begin(), best.end(), [](const ReportUnit* a, const ReportUnit* b) { return a->kept_share() > b->kept_share(); });
    // Only what stands out from its kind is called protected.
    const double mean = KeptShare(report, is_attention, 0, NumLayers(report));
    std::vector<std::string> named;
    for (const ReportUnit* unit : best) {
      if (named.size() == kMostNamed || unit->kept_share() < mean + 0.1) break;
      named.push_back(absl::StrCat(unit->name, " keeps ", FormatPercent(unit->kept_share()), " (", unit->size - unit->removed, " of ",
                                   Things(*unit, unit->size), ")"));
    }
    if (!named.empty()) {
      part.sentences.push_back(absl::StrCat("Above the mean of the ", is_attention ? "attention" : "FFN", " units (",
                                            FormatPercent(mean), " kept): ", absl::StrJoin(named, ", "), "."));
    }
  }
  const int layers = NumLayers(report);
  if (layers >= 6) {
    const int first = layers / 3, last = layers - layers / 3;
    const auto thirds = [&](bool is_attention) {
      return absl::StrCat(FormatPercent(KeptShare(report, is_attention, 0, first)), ", ",
                          FormatPercent(KeptShare(report, is_attention, first, last)), ", ",
                          FormatPercent(KeptShare(report, is_attention, last, layers)));
    };
    part.sentences.push_back(absl::StrCat("Kept in the first layers (0 to ", first - 1, "), the middle ones and the last (", last,
                                          " to ", layers - 1, "): attention ", thirds(true), "; FFN ", thirds(false), "."));
  }
  return part;
}

ExplanationPart ExplainWhatTheSearchChanged(const RunReport& report) {
  ExplanationPart part{"What the search changed", {}};
  const auto additive = std::find_if(report.yardsticks.begin(), report.yardsticks.end(),
                                     [](const ReportYardstick& yardstick) { return yardstick.name == "additive"; });
  if (additive == report.yardsticks.end() || additive->units.size() != report.units.size()) return part;
  std::vector<std::string> given_back, taken;
  for (size_t i = 0; i < report.units.size(); ++i) {
    const ReportUnit& ours = report.units[i];
    const int difference = ours.removed - additive->units[i].removed;
    if (difference == 0) continue;
    (difference < 0 ? given_back : taken)
        .push_back(absl::StrCat(ours.name, " (", Things(ours, std::abs(difference)), ")"));
  }
  if (given_back.empty() && taken.empty()) {
    part.sentences.push_back(
        "Nothing: the result is the additive mask, the best one by the scores of each unit alone, and no other won against it.");
    return part;
  }
  part.sentences.push_back(absl::StrCat("Against the additive mask (the best by the scores of each unit alone) it gave back ",
                                        given_back.empty() ? "nothing" : NameAll(given_back), " and took from ",
                                        taken.empty() ? "nothing" : NameAll(taken), "."));
  const double change = report.one_shot_fitness - additive->one_shot_fitness;
  part.sentences.push_back(absl::StrCat(
      "Before training that makes the KL divergence ", FormatNumber(report.one_shot_fitness, 4), " instead of ",
      FormatNumber(additive->one_shot_fitness, 4), " on the report windows",
      change > 0 ? ": worse there, but masks are chosen for what they are after training." : "."));
  return part;
}

}  // namespace espalier
