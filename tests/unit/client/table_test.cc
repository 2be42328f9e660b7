#include "client/render/table.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "client/render/colours.h"
#include "client/render/output.h"
#include "client/render/text_width.h"
#include "client/render/yaml.h"
#include "tests/support/catch.h"

namespace espalier {
namespace {

using Json = nlohmann::ordered_json;

const TableRows kJobs = {{"job", "state", "tokens", "progress"},
                         {"jobs/one", "running", "1.50M", "search  generation 3/8  stage 2/4  12/16 tasks"},
                         {"jobs/another", "queued", "-", "queued, waiting for a worker"}};

std::vector<std::string> Lines(const std::string& text) { return absl::StrSplit(text, '\n', absl::SkipEmpty()); }

TEST_CASE("Table: numbers flush right, widths in characters, no blanks at a line's end") {
  REQUIRE(FormatTable({{"name", "count"}, {"été", "5"}, {"b", "1234"}}) == "name  count\nété       5\nb      1234\n");
  REQUIRE(FormatTable({{"a", "b"}, {"x", ""}}) == "a  b\nx\n");
  REQUIRE(FormatTable({{"worker", "done"}, {"669f", "3"}}) == "worker  done\n669f       3\n");  // an id is no number
}

TEST_CASE("Table: Chinese, emoji and combining marks keep the columns in line") {
  REQUIRE(DisplayWidth("模型") == 4);
  REQUIRE(DisplayWidth("e\xCC\x81") == 1);
  REQUIRE(DisplayWidth("🌳") == 2);
  REQUIRE(FormatTable({{"name", "of"}, {"模型", "x"}, {"abc", "y"}}) == "name  of\n模型  x\nabc   y\n");
}

TEST_CASE("FitText: cut between characters, never within one") {
  REQUIRE(FitText("generation", 10) == "generation");
  REQUIRE(FitText("generation", 6) == "gener…");
  REQUIRE(FitText("模型名", 4) == "模…");
  REQUIRE(FitText("e\xCC\x81xyz", 2) == "e\xCC\x81…");
  REQUIRE(FitText("abc", 0).empty());
}

TEST_CASE("Table: in a narrow terminal texts give way, names and numbers stay whole") {
  for (const int width : {60, 50, 45}) {
    const std::string table = FormatTable(kJobs, {.width = width});
    for (const std::string& line : Lines(table)) REQUIRE(DisplayWidth(line) <= width);
    for (const char* kept : {"jobs/another", "1.50M", "running", "…"}) REQUIRE(absl::StrContains(table, kept));
  }
  REQUIRE(FormatTable(kJobs, {.width = 200}) == FormatTable(kJobs));
}

TEST_CASE("Table: where columns cannot fit, each row is a block of lines and nothing is lost") {
  const std::string table = FormatTable(kJobs, {.width = 24});
  REQUIRE(absl::StartsWith(table, "job       jobs/one\nstate     running\n"));
  REQUIRE(absl::StrContains(table, "progress  search  generation 3/8  stage 2/4  12/16 tasks\n\njob       jobs/another\n"));
}

TEST_CASE("Table: colours are put around the text and do not count as columns") {
  const auto states = [](size_t, size_t, const std::string& cell) { return ColourOfState(cell); };
  REQUIRE(FormatTable({{"state", "of"}, {"failed", "x"}}, {.colour = states}) ==
          "state   of\n\x1b[31mfailed\x1b[0m  x\n");
}

TEST_CASE("Table: an escape sequence in somebody's name does not reach the terminal") {
  const std::string table = FormatTable({{"name"}, {"\x1b[2Jgone\xFF\nnext\x7F"}});
  REQUIRE(table == "name\n?[2Jgone? next?\n");
}

TEST_CASE("Yaml: blocks, lists and scalars as readers of YAML expect them") {
  const Json json = Json::parse(R"({"name": "jobs/one", "empty": {}, "none": [], "levels": [1, 2.5, 1e-05],
    "stages": [{"survivors": 2, "nested": {"deep": true}}, {"survivors": 1}], "words": ["a b", "c"], "lists": [[1], [[]]]})");
  REQUIRE(ToYaml(json) ==
          "name: jobs/one\nempty: {}\nnone: []\nlevels: [1, 2.5, 1.0e-05]\nstages:\n  - survivors: 2\n    nested:\n"
          "      deep: true\n  - survivors: 1\nwords:\n  - a b\n  - c\nlists:\n  - [1]\n  - - []\n");
  REQUIRE(ToYaml(Json::array()) == "[]\n");
}

TEST_CASE("Yaml: a text that could be read as something else is quoted") {
  for (const char* text : {"yes", "No", "null", "~", "1e5", "0x10", "2026-11-22", "", " a", "a ", "a: b", "# no", "-",
                           "- a", "[x]", "{x}", "*x", "&x", "%x", "'x'", ".5", "12:30:00", "="}) {
    REQUIRE(ToYaml(Json(text)) == absl::StrCat("\"", text, "\"\n"));
  }
  REQUIRE(ToYaml(Json("attention[0]")) == "attention[0]\n");
  REQUIRE(ToYaml(Json("a\"b\\c\nd\x1b\xC2\x85\xE2\x80\xA8é")) == "\"a\\\"b\\\\c\\nd\\x1B\\x85\\Lé\"\n");
}

TEST_CASE("Output: json, yaml and names from the same value; a table is the caller's") {
  const auto json = [] { return Json{{"name", "jobs/one"}, {"path", "caf\xE9"}}; };
  REQUIRE(FormatOutput("json", json, {"jobs/one"}) == "{\n  \"name\": \"jobs/one\",\n  \"path\": \"caf\xEF\xBF\xBD\"\n}\n");
  REQUIRE(FormatOutput("yaml", json, {"jobs/one"}) == "name: jobs/one\npath: \"caf\xEF\xBF\xBD\"\n");
  REQUIRE(FormatOutput("name", json, {"jobs/one", "jobs/two"}) == "jobs/one\njobs/two\n");
  REQUIRE(FormatOutput("table", json, {"jobs/one"}).empty());
}

}  // namespace
}  // namespace espalier
