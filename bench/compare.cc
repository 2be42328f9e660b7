#include "bench/compare.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "bench/report.h"
#include "common/base/files.h"
#include "common/base/status_macros.h"

namespace espalier::bench {
namespace {

using Json = nlohmann::ordered_json;

constexpr int64_t kMostBytes = int64_t{64} << 20;

absl::StatusOr<Json> ReadResults(const std::string& path) {
  ESPALIER_ASSIGN_OR_RETURN(const std::string text, ReadFile(path, kMostBytes));
  Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  const bool is_result = json.is_object() && json.contains("benchmark") && json["benchmark"].is_string() && json.contains("rows") &&
                         json["rows"].is_array();
  if (is_result) return json;
  return absl::InvalidArgumentError(absl::StrCat(path, ": no result file of espalier-bench (--json writes one)"));
}

// The words of a row: what was measured.
std::string WordsOf(const Json& row) {
  std::string words;
  for (const auto& [name, value] : row.items()) {
    if (value.is_string()) absl::StrAppend(&words, words.empty() ? "" : ", ", value.get<std::string>());
  }
  return words;
}

std::string Shown(double value) { return absl::StrFormat("%.6g", value); }

void AddFigures(const Json& first, const Json& second, Report& report) {
  for (const auto& [name, value] : first.items()) {
    if (!value.is_number() || !second.contains(name) || !second[name].is_number()) continue;
    const double a = value.get<double>(), b = second[name].get<double>();
    Row row;
    row.Text("row", WordsOf(first)).Text("figure", name).Text("first", Shown(a)).Text("second", Shown(b));
    if (a != 0) row.Number("second / first", b / a, 3);
    report.Add(row);
  }
}

}  // namespace

absl::StatusOr<std::string> CompareResults(const std::string& first_path, const std::string& second_path) {
  ESPALIER_ASSIGN_OR_RETURN(const Json first, ReadResults(first_path));
  ESPALIER_ASSIGN_OR_RETURN(const Json second, ReadResults(second_path));
  const std::string benchmark = first["benchmark"].get<std::string>();
  if (second["benchmark"] != benchmark) {
    return absl::InvalidArgumentError(
        absl::StrCat(second_path, ": of the benchmark ", second["benchmark"].get<std::string>(), ", the other file of ", benchmark));
  }
  Report report(absl::StrCat(benchmark, ", compared"), {{"first", first_path}, {"second", second_path}});
  const size_t rows = std::min(first["rows"].size(), second["rows"].size());
  for (size_t i = 0; i < rows; ++i) {
    if (WordsOf(first["rows"][i]) == WordsOf(second["rows"][i])) AddFigures(first["rows"][i], second["rows"][i], report);
  }
  return report.Table();
}

}  // namespace espalier::bench
