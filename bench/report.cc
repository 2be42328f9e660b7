#include "bench/report.h"

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/base/files.h"

namespace espalier::bench {

Row& Row::Text(const std::string& name, const std::string& value) {
  cells_.push_back({name, value, false, 0});
  return *this;
}

Row& Row::Count(const std::string& name, int64_t value) {
  cells_.push_back({name, absl::StrCat(value), true, static_cast<double>(value)});
  return *this;
}

Row& Row::Number(const std::string& name, double value, int decimals) {
  cells_.push_back({name, absl::StrFormat("%.*f", decimals, value), true, value});
  return *this;
}

Report::Report(std::string benchmark, std::vector<std::pair<std::string, std::string>> machine)
    : benchmark_(std::move(benchmark)), machine_(std::move(machine)) {}

void Report::Add(const Row& row) { rows_.push_back(row); }

std::vector<std::string> Report::Columns() const {
  std::vector<std::string> columns;
  for (const Row& row : rows_) {
    for (const Row::Cell& cell : row.cells()) {
      if (std::find(columns.begin(), columns.end(), cell.name) == columns.end()) columns.push_back(cell.name);
    }
  }
  return columns;
}

std::string Report::Table() const {
  const std::vector<std::string> columns = Columns();
  std::vector<std::vector<std::string>> lines = {columns};
  for (const Row& row : rows_) {
    std::vector<std::string> line(columns.size());
    for (const Row::Cell& cell : row.cells()) {
      line[std::find(columns.begin(), columns.end(), cell.name) - columns.begin()] = cell.shown;
    }
    lines.push_back(std::move(line));
  }
  std::string text = absl::StrCat("espalier-bench ", benchmark_, "\n");
  for (const auto& [name, value] : machine_) absl::StrAppend(&text, name, ": ", value, "\n");
  for (const std::vector<std::string>& line : lines) {
    for (size_t column = 0; column < columns.size(); ++column) {
      size_t width = 0;
      for (const auto& other : lines) width = std::max(width, other[column].size());
      const std::string padding(width - line[column].size(), ' ');
      // Words to the left, figures to the right.
      const bool is_first = column == 0;
      absl::StrAppend(&text, is_first ? line[column] : padding, is_first ? padding : line[column],
                      column + 1 < columns.size() ? "  " : "\n");
    }
  }
  return text;
}

std::string Report::Json() const {
  nlohmann::ordered_json json;
  json["benchmark"] = benchmark_;
  for (const auto& [name, value] : machine_) json["machine"][name] = value;
  json["rows"] = nlohmann::ordered_json::array();
  for (const Row& row : rows_) {
    nlohmann::ordered_json figures;
    for (const Row::Cell& cell : row.cells()) {
      if (cell.is_number) {
        figures[cell.name] = cell.number;
      } else {
        figures[cell.name] = cell.shown;
      }
    }
    json["rows"].push_back(std::move(figures));
  }
  return json.dump(2) + "\n";
}

absl::Status Report::Finish(const std::string& json_path) const {
  std::fputs(Table().c_str(), stdout);
  std::fflush(stdout);
  if (json_path.empty()) return absl::OkStatus();
  return WriteFileAtomically(json_path, Json());
}

}  // namespace espalier::bench
