#include "client/result/evaluate_command.h"

#include "absl/strings/match.h"
#include "client/explain/explanation.h"
#include "client/result/read_report.h"
#include "client/result/report_html.h"
#include "tests/support/catch.h"

namespace espalier {
namespace {

RunReport Report(const char* job) {
  RunReport report;
  report.sequence_length = 1024;
  report.dense_perplexity = 30;
  report.perplexity = 32;
  report.provenance["job"] = nlohmann::ordered_json::parse(job);
  return report;
}

TEST_CASE("Evaluate command: the job's file, length and number of windows", "[client]") {
  const RunReport report = Report(R"({"evaluation_path": "/data/val.npy", "evaluation_windows": "128", "device": "CUDA"})");
  CHECK(EvaluateCommand(report, "out/model") ==
        "espalier evaluate out/model --tokens /data/val.npy --sequence-length 1024 --evaluate-tokens 131072 --device cuda");
}

TEST_CASE("Evaluate command: all windows are 0, and a shell reads any path as one word", "[client]") {
  const RunReport report = Report(R"({"evaluation_path": "/my data/it's.npy", "evaluation_windows": "0", "device": "CPU"})");
  CHECK(EvaluateCommand(report, "out (2)/model") ==
        "espalier evaluate 'out (2)/model' --tokens '/my data/it'\\''s.npy' --sequence-length 1024 --evaluate-tokens 0");
}

TEST_CASE("Evaluate command: none without a file to evaluate on", "[client]") {
  CHECK(EvaluateCommand(Report(R"({"evaluation_path": "", "evaluation_windows": "128"})"), "m").empty());
  CHECK(EvaluateCommand(Report(R"("a job of an earlier version")"), "m").empty());
  CHECK(EvaluateCommand(RunReport{}, "m").empty());
}

TEST_CASE("Evaluate command: result.json, the page and the explanation show it", "[client]") {
  RunReport report = Report(R"({"evaluation_path": "/data/val.npy", "evaluation_windows": "128"})");
  CHECK_FALSE(ToJson(report).contains("evaluate_command"));
  report.evaluate_command = EvaluateCommand(report, "/a&b/model");
  CHECK(ToJson(report)["evaluate_command"] == report.evaluate_command);
  const auto read = ReportFromJson(ToJson(report));
  REQUIRE_OK(read);
  CHECK(read->evaluate_command == report.evaluate_command);
  CHECK(absl::StrContains(ReportHtml(report), "<code>espalier evaluate &#39;/a&amp;b/model&#39; --tokens /data/val.npy"));
  CHECK_THAT(ExplainResult(report).sentences[1 + 1], Catch::Contains(report.evaluate_command));
}

}  // namespace
}  // namespace espalier
