// Tables as people read them, in as many columns of the terminal as there are.
#pragma once

#include <functional>
#include <string>
#include <vector>

namespace espalier {

using TableRows = std::vector<std::vector<std::string>>;

struct TableOptions {
  int width = 0;  // columns of the terminal; 0: no limit
  // The colour (colours.h) of a cell, or nullptr; row 0 is the head.
  std::function<const char*(size_t row, size_t column, const std::string& cell)> colour = nullptr;
};

// Columns padded to their widest cell, two blanks between; columns but the first whose cells all start with a digit (or
// are "-") are set flush right. The first row is the head. What is too wide loses columns of its widest texts (never of its numbers and
// of its first column, which names the row), with an ellipsis; where that does not suffice, each row is written as lines
// of "head  cell" instead. Control characters of the cells are replaced.
std::string FormatTable(const TableRows& rows, const TableOptions& options = {});

// To standard output: fitted and coloured where that is a terminal.
void PrintTable(const TableRows& rows);

}  // namespace espalier
