#include "absl/strings/match.h"
#include "client/render/format.h"
#include "client/render/mask_picture.h"
#include "client/render/progress_view.h"
#include "client/render/text_width.h"
#include "client/result/report_html.h"
#include "common/picture/line_chart.h"
#include "tests/support/catch.h"

namespace espalier {
namespace {

ReportUnit Unit(bool is_attention, int layer, int size, int removed) {
  return {.name = (is_attention ? "attention[" : "ffn[") + std::to_string(layer) + "]",
          .is_attention = is_attention,
          .layer = layer,
          .size = size,
          .level = removed,
          .num_levels = size + 1,
          .removed = removed,
          .kept_heads = {}};
}

RunReport Report() {
  RunReport report;
  report.title = "a <model> & more";
  report.dense_parameters = 4000000;
  report.parameters = 2400000;
  report.units = {Unit(true, 0, 6, 2), Unit(false, 0, 512, 512), Unit(true, 1, 6, 0), Unit(false, 1, 512, 256)};
  report.units[0].kept_heads = {0, 2, 3, 5};
  report.fitness = 0.5;
  report.perplexity = 41.25;
  report.dense_perplexity = 32.5;
  report.yardsticks = {{.name = "uniform",
                        .units = report.units,
                        .parameters = 2390000,
                        .one_shot_fitness = 1.1,
                        .one_shot_perplexity = 99,
                        .recovered_perplexity = {}}};
  for (int i = 0; i < 3; ++i) {
    ReportGeneration generation;
    generation.generation = i;
    generation.fitness = 0.6 - 0.05 * i;
    generation.standard_error = 0.01;
    generation.one_shot_fitness = 0.8 - 0.05 * i;
    report.history.push_back(generation);
  }
  report.provenance["seed"] = 7;
  return report;
}

bool Has(const std::string& text, const std::string& part) { return absl::StrContains(text, part); }

TEST_CASE("Format: counts, bytes and times are short") {
  REQUIRE(FormatCount(950) == "950");
  REQUIRE(FormatCount(2362560) == "2.36M");
  REQUIRE(FormatCount(999999) == "1.00M");
  REQUIRE(FormatCount(4.6e9) == "4.60B");
  REQUIRE(FormatBytes(1536) == "1.5 KiB");
  REQUIRE(FormatSeconds(75) == "1m15s");
  REQUIRE(FormatSeconds(3700) == "1h01m");
  REQUIRE(FormatSeconds(-1) == "-");
}

TEST_CASE("MaskPicture: a removed unit is a dot, an intact one a full block") {
  const std::string picture = MaskPicture(Report().units, 80, false);
  REQUIRE(Has(picture, "·"));
  REQUIRE(Has(picture, "█"));
  REQUIRE(Has(picture, "attention"));
  REQUIRE_FALSE(Has(picture, "\x1b"));
  REQUIRE(Has(MaskPicture(Report().units, 80, true), "\x1b[32m"));
}

TEST_CASE("MaskPicture: many layers wrap at the terminal's width") {
  std::vector<ReportUnit> units;
  for (int layer = 0; layer < 100; ++layer) {
    units.push_back(Unit(true, layer, 8, layer % 9));
    units.push_back(Unit(false, layer, 64, layer % 65));
  }
  const std::string picture = MaskPicture(units, 80, false);
  for (size_t begin = 0; begin < picture.size();) {
    const size_t end = picture.find('\n', begin);
    REQUIRE(DisplayWidth(picture.substr(begin, end - begin)) <= 80);
    begin = end + 1;
  }
}

TEST_CASE("NiceTicks: round numbers that span the range") {
  const std::vector<double> ticks = NiceTicks(0.43, 0.91, 5);
  REQUIRE(ticks.front() <= 0.43);
  REQUIRE(ticks.back() >= 0.9);
  REQUIRE(ticks[1] - ticks[0] == Approx(0.1));
}

TEST_CASE("ReportHtml: one page without network or script, with text escaped and every part there") {
  const std::string html = ReportHtml(Report());
  REQUIRE(Has(html, "a &lt;model&gt; &amp; more"));
  for (const char* outside : {"http://", "https://", "<script", "src=", "@import"}) REQUIRE_FALSE(Has(html, outside));
  REQUIRE(Has(html, "prefers-color-scheme:dark"));
  REQUIRE(Has(html, "class=\"error\""));                  // error bars
  REQUIRE(Has(html, "attention[0]: 4 of 6 heads kept"));  // the mask's tooltips
  REQUIRE(Has(html, "ffn[0]: removed"));
  REQUIRE(Has(html, "41.25"));
}

TEST_CASE("ReportHtml: what the job was expected to take stands beside what it took, with what that rested on") {
  RunReport report = Report();
  REQUIRE_FALSE(Has(ReportHtml(report), "What it took"));  // a report without it
  report.cost.expected.trained_tokens = 20000;
  report.cost.expected.num_evaluations = 11;
  report.cost.expected.device_seconds = 405;
  report.cost.expected.device_bytes = 3 << 20;
  report.cost.basis = "the rate of 3 < 4 evaluations";
  report.cost.taken.trained_tokens = 18500;
  report.cost.taken.device_seconds = 393;
  const std::string html = ReportHtml(report);
  REQUIRE(Has(html, "<tr><td>trained tokens</td><td>20.0k</td><td>18.5k</td></tr>"));
  REQUIRE(Has(html, "<tr><td>device time</td><td>6m45s</td><td>6m33s</td></tr>"));
  REQUIRE(Has(html, "<tr><td>running time</td><td>unknown</td><td>-</td></tr>"));
  REQUIRE(Has(html, "<tr><td>memory of a candidate</td><td>3.0 MiB</td><td>-</td></tr>"));
  REQUIRE(Has(html, "Times expected before it began: the rate of 3 &lt; 4 evaluations."));
}

TEST_CASE("ReportHtml: the legend names the line before training only where it is drawn") {
  RunReport report = Report();
  REQUIRE_FALSE(report.history.empty());
  for (ReportGeneration& generation : report.history) generation.one_shot_fitness = 0.9;
  CHECK(Has(ReportHtml(report), "the same mask before any training"));
  for (ReportGeneration& generation : report.history) generation.one_shot_fitness = 0;
  CHECK_FALSE(Has(ReportHtml(report), "the same mask before any training"));
}

TEST_CASE("ReportHtml: a job without generations says so instead of drawing an empty chart") {
  RunReport report = Report();
  report.history.clear();
  REQUIRE(Has(ReportHtml(report), "No generation was asked for"));
}

TEST_CASE("ToJson: the mask by unit with kept heads or neurons") {
  const nlohmann::ordered_json json = ToJson(Report());
  REQUIRE(json["mask"]["attention[0]"]["kept_heads"] == nlohmann::ordered_json({0, 2, 3, 5}));
  REQUIRE(json["mask"]["attention[0]"]["removed"] == 2);
  REQUIRE(json["mask"]["ffn[1]"]["kept_neurons"] == 256);
  REQUIRE(json["uniform"]["one_shot_fitness"] == 1.1);
  REQUIRE(json["history"].size() == 3);
}

TEST_CASE("ProgressLine: stage, tasks, rate, best and time") {
  v1::Job job;
  job.set_state(v1::Job::RUNNING);
  v1::JobProgress& progress = *job.mutable_progress();
  progress.set_step("search");
  progress.set_generation(2);
  progress.set_num_generations(8);
  progress.set_stage(1);
  progress.set_num_stages(4);
  progress.set_tasks_done(3);
  progress.set_tasks_total(8);
  progress.set_tokens_per_second(41200);
  progress.set_best_fitness(0.8571);
  progress.set_best_standard_error(0.0102);
  progress.mutable_elapsed()->set_seconds(60);
  const std::string line = ProgressLine(job);
  for (const char* part :
       {"generation 3/8", "stage 2/4", "3/8 tasks", "41.2k tok/s", "best 0.8571 ± 0.0102", "1m00s", "left"})
    REQUIRE(Has(line, part));
}

}  // namespace
}  // namespace espalier
