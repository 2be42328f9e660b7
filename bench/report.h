// One aligned table on the standard output and, when asked for, one JSON file with the same figures.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"

namespace espalier::bench {

// Figures by name; a row of a table. Values keep their order.
class Row {
 public:
  Row& Text(const std::string& name, const std::string& value);
  Row& Count(const std::string& name, int64_t value);
  Row& Number(const std::string& name, double value, int decimals);

  struct Cell {
    std::string name;
    std::string shown;
    bool is_number = false;
    double number = 0;
  };
  const std::vector<Cell>& cells() const { return cells_; }

 private:
  std::vector<Cell> cells_;
};

class Report {
 public:
  Report(std::string benchmark, std::vector<std::pair<std::string, std::string>> machine);

  void Add(const Row& row);  // the columns are those of all rows, in the order in which they first came
  // Prints the table; writes the JSON file unless `json_path` is empty.
  absl::Status Finish(const std::string& json_path) const;

  std::string Table() const;
  std::string Json() const;

 private:
  std::vector<std::string> Columns() const;

  const std::string benchmark_;
  const std::vector<std::pair<std::string, std::string>> machine_;
  std::vector<Row> rows_;
};

}  // namespace espalier::bench
