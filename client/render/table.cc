#include "client/render/table.h"

#include <algorithm>
#include <cctype>
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "client/render/colours.h"
#include "client/render/terminal.h"
#include "client/render/text_width.h"

namespace espalier {
namespace {

constexpr int kGap = 2;
constexpr int kLeastTextColumn = 8;

bool IsNumeric(const TableRows& rows, size_t column) {
  if (column == 0) return false;  // a name, also where it begins with a digit, as a worker's id may
  for (size_t row = 1; row < rows.size(); ++row) {
    if (column >= rows[row].size()) continue;
    const std::string& cell = rows[row][column];
    if (cell.empty() || cell == "-") continue;
    if (!std::isdigit(static_cast<unsigned char>(cell[0])) && cell[0] != '-' && cell[0] != '+') return false;
  }
  return rows.size() > 1;
}

int TotalWidth(const std::vector<int>& widths) {
  int total = 0;
  for (const int width : widths) total += width + kGap;
  return std::max(0, total - kGap);
}

// Takes columns from the widest texts until all fits; false when it cannot.
bool ShrinkToFit(const TableRows& rows, int limit, std::vector<int>& widths) {
  while (TotalWidth(widths) > limit) {
    size_t widest = 0;
    for (size_t column = 1; column < widths.size(); ++column) {
      const int least =
          std::max(kLeastTextColumn, column < rows[0].size() ? DisplayWidth(rows[0][column]) : 0);
      if (widths[column] <= least || IsNumeric(rows, column)) continue;
      if (widest == 0 || widths[column] > widths[widest]) widest = column;
    }
    if (widest == 0) return false;
    --widths[widest];
  }
  return true;
}

std::string Painted(const TableOptions& options, size_t row, size_t column, const std::string& plain,
                    const std::string& shown) {
  const char* colour = options.colour ? options.colour(row, column, plain) : nullptr;
  return colour == nullptr || shown.empty() ? shown : Paint(shown, colour);
}

std::string Blanks(int count) { return std::string(std::max(0, count), ' '); }

std::string Records(const TableRows& rows, const TableOptions& options) {
  int head_width = 0;
  for (const std::string& head : rows[0]) head_width = std::max(head_width, DisplayWidth(head));
  std::string text;
  for (size_t row = 1; row < rows.size(); ++row) {
    if (row > 1) text += "\n";
    for (size_t column = 0; column < rows[row].size(); ++column) {
      if (rows[row][column].empty()) continue;
      const std::string head = column < rows[0].size() ? rows[0][column] : "";
      absl::StrAppend(&text, head, Blanks(head_width - DisplayWidth(head) + kGap),
                      Painted(options, row, column, rows[row][column], rows[row][column]), "\n");
    }
  }
  return text;
}

std::string Line(const TableRows& rows, size_t row, const std::vector<int>& widths, const std::vector<bool>& numeric,
                 const TableOptions& options) {
  std::string line;
  int owed = 0;  // blanks before the next text, so that a line ends with none
  for (size_t column = 0; column < rows[row].size(); ++column) {
    const std::string shown = FitText(rows[row][column], widths[column]);
    const int padding = widths[column] - DisplayWidth(shown);
    if (column > 0) owed += kGap;
    if (numeric[column]) owed += padding;
    if (!shown.empty()) {
      absl::StrAppend(&line, Blanks(owed), Painted(options, row, column, rows[row][column], shown));
      owed = 0;
    }
    if (!numeric[column]) owed += padding;
  }
  return line;
}

const char* ListColour(size_t row, size_t, const std::string& cell) { return row == 0 ? kBold : ColourOfState(cell); }

}  // namespace

std::string FormatTable(const TableRows& given, const TableOptions& options) {
  TableRows rows = given;
  std::vector<int> widths;
  for (std::vector<std::string>& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t column = 0; column < row.size(); ++column) {
      row[column] = Printable(row[column]);
      widths[column] = std::max(widths[column], DisplayWidth(row[column]));
    }
  }
  if (options.width > 0 && !rows.empty() && !ShrinkToFit(rows, options.width, widths)) return Records(rows, options);
  std::vector<bool> numeric;
  for (size_t column = 0; column < widths.size(); ++column) numeric.push_back(IsNumeric(rows, column));
  std::string text;
  for (size_t row = 0; row < rows.size(); ++row) absl::StrAppend(&text, Line(rows, row, widths, numeric, options), "\n");
  return text;
}

void PrintTable(const TableRows& rows) {
  TableOptions options;
  options.width = TerminalWidth(stdout);
  if (WantsColours(stdout)) options.colour = ListColour;
  std::printf("%s", FormatTable(rows, options).c_str());
}

}  // namespace espalier
