#include "common/picture/rank_chart.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace espalier {
namespace {

constexpr double kRankWidth = 860;
constexpr double kSide = 110;  // for names
constexpr double kRankHead = 26;

struct Field {
  double row = 20;
  int num_stages = 0;
  double X(int stage) const {
    return num_stages == 1 ? kRankWidth / 2 : kSide + (kRankWidth - 2 * kSide) * stage / (num_stages - 1);
  }
  double Y(int rank) const { return kRankHead + (rank - 0.5) * row; }
};

Html RankedLineOf(const Field& field, const RankedLine& line, const std::vector<std::string>& stage_names) {
  std::string points;
  Html dots;
  int first = -1, last = -1;
  const char* css_class = line.is_winner ? "winner" : "other";
  for (int stage = 0; stage < static_cast<int>(line.ranks.size()); ++stage) {
    if (line.ranks[stage] == 0) continue;
    if (first < 0) first = stage;
    last = stage;
    const double x = field.X(stage), y = field.Y(line.ranks[stage]);
    absl::StrAppendFormat(&points, "%.1f,%.1f ", x, y);
    dots += Element("circle", {{"class", css_class}, {"r", line.is_winner ? 4.5 : 3.5}, {"cx", x}, {"cy", y}},
                    Element("title", {}, line.name, ": rank ", absl::StrCat(line.ranks[stage]), " in ", stage_names[stage]));
  }
  if (first < 0) return {};
  Html content = VoidElement("polyline", {{"class", css_class}, {"points", points}});
  content += dots;
  const char* name_class = line.is_winner ? "label" : "tick";
  content += Element("text",
                     {{"class", name_class},
                      {"text-anchor", first == 0 ? "end" : "start"},
                      {"x", field.X(first) + (first == 0 ? -10 : 10)},
                      {"y", field.Y(line.ranks[first]) + 4}},
                     line.name);
  if (last + 1 == field.num_stages && last > first) {
    content += Element("text",
                       {{"class", name_class}, {"x", field.X(last) + 10}, {"y", field.Y(line.ranks[last]) + 4}},
                       line.name);
  }
  return line.link.empty() ? content : Element("a", {{"href", line.link}}, content);
}

}  // namespace

Html RankChart(const std::vector<std::string>& stage_names, const std::vector<RankedLine>& lines) {
  if (stage_names.empty() || lines.empty()) return {};
  int most = 1;
  for (const RankedLine& line : lines) {
    for (const int rank : line.ranks) most = std::max(most, rank);
  }
  Field field;
  field.num_stages = static_cast<int>(stage_names.size());
  field.row = most > 40 ? 14 : 20;
  Html content;
  for (int stage = 0; stage < field.num_stages; ++stage) {
    content += Element("text", {{"class", "label"}, {"text-anchor", "middle"}, {"x", field.X(stage)}, {"y", 14}},
                       stage_names[stage]);
    content += VoidElement("line", {{"class", "grid"},
                                    {"x1", field.X(stage)},
                                    {"x2", field.X(stage)},
                                    {"y1", kRankHead},
                                    {"y2", field.Y(most) + field.row / 2}});
  }
  for (const RankedLine& line : lines) {
    if (!line.is_winner) content += RankedLineOf(field, line, stage_names);
  }
  for (const RankedLine& line : lines) {
    if (line.is_winner) content += RankedLineOf(field, line, stage_names);
  }
  return Element("svg",
                 {{"class", "ranks"},
                  {"viewBox", absl::StrFormat("0 0 %g %g", kRankWidth, field.Y(most) + field.row)},
                  {"role", "img"},
                  {"aria-label", "ranks of the candidates by stage"}},
                 content);
}

}  // namespace espalier
