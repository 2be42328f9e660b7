#include "bench/compare.h"

#include "bench/report.h"
#include "common/base/files.h"
#include "tests/support/catch.h"
#include "tests/support/temp_dir.h"

namespace espalier::bench {
namespace {

std::string Write(const testing::TempDir& folder, const std::string& name, const std::string& benchmark, double seconds) {
  Report report(benchmark, {{"device", "a card"}});
  report.Add(Row().Text("mode", "restart").Number("seconds", seconds, 2).Count("tokens", 1000));
  report.Add(Row().Text("mode", seconds > 3 ? "other" : "continue").Number("seconds", 1, 2));
  const std::string path = folder.path() + "/" + name;
  REQUIRE_OK(WriteFileAtomically(path, report.Json()));
  return path;
}

TEST_CASE("CompareResults: figures of equal rows stand side by side, rows of other words are left out") {
  const testing::TempDir folder;
  const std::string first = Write(folder, "a.json", "generation", 2), second = Write(folder, "b.json", "generation", 5);
  const auto table = CompareResults(first, second);
  REQUIRE_OK(table);
  INFO(*table);
  CHECK(table->find("restart  seconds") != std::string::npos);
  CHECK(table->find("2.500") != std::string::npos);
  CHECK(table->find("continue") == std::string::npos);
}

TEST_CASE("CompareResults: a file that is not there, is no result, or of another benchmark is refused by its name") {
  const testing::TempDir folder;
  const std::string first = Write(folder, "a.json", "generation", 2), other = Write(folder, "b.json", "bank", 2);
  const std::string text = folder.path() + "/text.json";
  REQUIRE_OK(WriteFileAtomically(text, "[1, 2]"));
  CHECK(absl::IsNotFound(CompareResults(first, folder.path() + "/none.json").status()));
  for (const std::string& path : {other, text}) {
    const absl::Status status = CompareResults(first, path).status();
    CHECK(absl::IsInvalidArgument(status));
    CHECK(std::string(status.message()).find(path) != std::string::npos);
  }
}

}  // namespace
}  // namespace espalier::bench
