#include "client/render/format.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace espalier {
namespace {

bool IsNumeric(const std::vector<std::vector<std::string>>& rows, size_t column) {
  for (size_t row = 1; row < rows.size(); ++row) {
    if (column >= rows[row].size()) continue;
    const std::string& cell = rows[row][column];
    if (cell.empty() || cell == "-") continue;
    if (!std::isdigit(static_cast<unsigned char>(cell[0])) && cell[0] != '-' && cell[0] != '+') return false;
  }
  return rows.size() > 1;
}

std::string Pad(const std::string& cell, int width, bool flush_right) {
  const std::string blanks(std::max(0, width - DisplayWidth(cell)), ' ');
  return flush_right ? blanks + cell : cell + blanks;
}

}  // namespace

std::string FormatCount(double count) {
  constexpr std::array<const char*, 5> kSuffixes = {"", "k", "M", "B", "T"};
  size_t step = 0;
  while (std::abs(count) >= 999.5 && step + 1 < kSuffixes.size()) {
    count /= 1000;
    ++step;
  }
  if (step == 0) return absl::StrFormat("%.0f", count);
  const int digits = std::abs(count) >= 100 ? 0 : std::abs(count) >= 10 ? 1 : 2;
  return absl::StrFormat("%.*f%s", digits, count, kSuffixes[step]);
}

std::string FormatBytes(double bytes) {
  constexpr std::array<const char*, 5> kSuffixes = {"B", "KiB", "MiB", "GiB", "TiB"};
  size_t step = 0;
  while (bytes >= 1024 && step + 1 < kSuffixes.size()) {
    bytes /= 1024;
    ++step;
  }
  return absl::StrFormat("%.*f %s", step == 0 ? 0 : 1, bytes, kSuffixes[step]);
}

std::string FormatSeconds(double seconds) {
  if (!(seconds >= 0) || seconds > 1e9) return "-";
  if (seconds < 9.95) return absl::StrFormat("%.1fs", seconds);
  const int64_t whole = static_cast<int64_t>(std::llround(seconds));
  if (whole < 60) return absl::StrFormat("%ds", whole);
  if (whole < 3600) return absl::StrFormat("%dm%02ds", whole / 60, whole % 60);
  return absl::StrFormat("%dh%02dm", whole / 3600, whole % 3600 / 60);
}

std::string FormatNumber(double value, int digits) {
  if (std::isnan(value)) return "-";
  return absl::StrFormat("%.*f", digits, value);
}

std::string FormatPercent(double share) { return absl::StrFormat("%.1f%%", share * 100); }

int DisplayWidth(const std::string& text) {
  return static_cast<int>(std::count_if(text.begin(), text.end(), [](char byte) { return (byte & 0xC0) != 0x80; }));
}

std::string FormatTable(const std::vector<std::vector<std::string>>& rows) {
  std::vector<int> widths;
  for (const std::vector<std::string>& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t column = 0; column < row.size(); ++column) {
      widths[column] = std::max(widths[column], DisplayWidth(row[column]));
    }
  }
  std::string text;
  for (const std::vector<std::string>& row : rows) {
    std::string line;
    for (size_t column = 0; column < row.size(); ++column) {
      if (column > 0) line += "  ";
      line += Pad(row[column], widths[column], IsNumeric(rows, column));
    }
    line.erase(line.find_last_not_of(' ') + 1);
    absl::StrAppend(&text, line, "\n");
  }
  return text;
}

}  // namespace espalier
