#include "client/render/mask_picture.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace espalier {
namespace {

constexpr int kLabelWidth = 11;
constexpr int kRowsOfBlocks = 2;  // each unit is drawn two characters high: sixteen steps

// The character of `row` (0 at the top) of a bar that is filled to `share`.
std::string Block(double share, int row) {
  static constexpr std::array<const char*, 9> kBlocks = {" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  const int steps = share <= 0 ? 0 : std::max(1, static_cast<int>(std::lround(share * 8 * kRowsOfBlocks)));
  const int below = 8 * (kRowsOfBlocks - 1 - row);
  return kBlocks[std::clamp(steps - below, 0, 8)];
}

std::string UnitRow(const std::vector<const ReportUnit*>& units, int row, int pitch, const char* colour) {
  std::string line = colour;
  for (const ReportUnit* unit : units) {
    const bool is_gone = unit->removed == unit->size;
    std::string cell;
    for (int column = 0; column + 1 < pitch; ++column) {
      cell += is_gone ? (row == kRowsOfBlocks - 1 ? "·" : " ") : Block(unit->kept_share(), row);
    }
    line += cell + " ";
  }
  return line + (*colour == '\0' ? "" : "\x1b[0m");
}

std::string CountRow(const std::vector<const ReportUnit*>& units, int pitch) {
  std::string line;
  for (const ReportUnit* unit : units) {
    const std::string text = unit->removed == unit->size ? "-" : absl::StrCat(unit->size - unit->removed);
    line += absl::StrFormat("%-*s", pitch, text);
  }
  return line;
}

}  // namespace

std::string MaskPicture(const std::vector<ReportUnit>& units, int width, bool use_colours) {
  int num_layers = 0;
  for (const ReportUnit& unit : units) num_layers = std::max(num_layers, unit.layer + 1);
  if (num_layers == 0) return "";
  const int pitch = std::clamp((width - kLabelWidth) / num_layers, 2, 6);
  const int per_line = std::max(1, (width - kLabelWidth) / pitch);
  const std::string indent(kLabelWidth, ' ');
  std::string picture;
  for (int begin = 0; begin < num_layers; begin += per_line) {
    const int end = std::min(num_layers, begin + per_line);
    std::string head;
    for (int layer = begin; layer < end; ++layer) {
      head += absl::StrFormat("%-*s", pitch, pitch > 3 || layer % 5 == 0 ? absl::StrCat(layer) : "");
    }
    absl::StrAppend(&picture, absl::StrFormat("%-*s", kLabelWidth, "layer"), head, "\n");
    for (const bool is_attention : {true, false}) {
      std::vector<const ReportUnit*> row_units;
      for (const ReportUnit& unit : units) {
        if (unit.is_attention == is_attention && unit.layer >= begin && unit.layer < end) row_units.push_back(&unit);
      }
      const char* colour = !use_colours ? "" : is_attention ? "\x1b[32m" : "\x1b[33m";
      for (int row = 0; row < kRowsOfBlocks; ++row) {
        const bool is_last = row == kRowsOfBlocks - 1;
        absl::StrAppend(&picture,
                        is_last ? absl::StrFormat("%-*s", kLabelWidth, is_attention ? "attention" : "FFN") : indent,
                        UnitRow(row_units, row, pitch, colour), "\n");
      }
      if (pitch > 4) absl::StrAppend(&picture, indent, CountRow(row_units, pitch), "\n");
    }
    if (end < num_layers) picture += "\n";
  }
  return picture;
}

}  // namespace espalier
