#include "client/result/report_html.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/picture/fitness_chart.h"
#include "common/picture/markup.h"
#include "common/picture/mask_chart.h"
#include "common/picture/numbers.h"
#include "common/picture/reasons.h"
#include "common/picture/style.h"

namespace espalier {
namespace {

Html FitnessPicture(const std::vector<ReportGeneration>& history) {
  FitnessLine line;
  for (const ReportGeneration& generation : history) {
    line.points.push_back({generation.generation, generation.fitness, generation.standard_error,
                           generation.one_shot_fitness, generation.engine_seconds});
  }
  return FitnessChart({line}, FitnessBy::kGeneration, 860);
}

std::string Tile(const std::string& value, const std::string& label) {
  return absl::StrCat("<div class=\"tile\"><b>", EscapeHtml(value), "</b><span>", EscapeHtml(label), "</span></div>");
}

std::string Tiles(const RunReport& report) {
  const double share = report.dense_parameters == 0
                           ? 0
                           : static_cast<double>(report.parameters) / static_cast<double>(report.dense_parameters);
  return absl::StrCat("<div class=\"tiles\">",
                      Tile(FormatCount(static_cast<double>(report.parameters)),
                           absl::StrCat("parameters, ", FormatPercent(share), " of ",
                                        FormatCount(static_cast<double>(report.dense_parameters)))),
                      Tile(FormatNumber(report.perplexity, 2),
                           absl::StrCat("perplexity (dense ", FormatNumber(report.dense_perplexity, 2), ")")),
                      Tile(FormatNumber(report.fitness, 4), "KL to the dense model, nats a token"),
                      Tile(FormatSeconds(report.seconds),
                           absl::StrCat(report.num_generations, " generations, ",
                                        FormatCount(static_cast<double>(report.trained_tokens)), " tokens trained")),
                      "</div>");
}

std::string TableHtml(const std::vector<std::vector<std::string>>& rows, bool last_is_result) {
  std::string html = "<div class=\"scroll\"><table>";
  for (size_t row = 0; row < rows.size(); ++row) {
    const char* cell = row == 0 ? "th" : "td";
    absl::StrAppend(&html, last_is_result && row + 1 == rows.size() && row > 0 ? "<tr class=\"result\">" : "<tr>");
    for (const std::string& text : rows[row]) absl::StrAppend(&html, "<", cell, ">", EscapeHtml(text), "</", cell, ">");
    absl::StrAppend(&html, "</tr>");
  }
  return html + "</table></div>";
}

std::string HistoryHtml(const RunReport& report) {
  std::string html =
      "<details><summary>Every generation</summary><div class=\"scroll\"><table><tr><th>generation</th><th>fitness</th><th>standard "
      "error</th>"
      "<th>one-shot</th><th>trained tokens</th><th>engine time</th><th>rank agreement</th></tr>";
  for (const ReportGeneration& generation : report.history) {
    absl::StrAppendFormat(
        &html, "<tr><td>%d</td><td>%.4f</td><td>%.4f</td><td>%s</td><td>%s</td><td>%s</td><td>%.2f</td></tr>",
        generation.generation + 1, generation.fitness, generation.standard_error,
        generation.one_shot_fitness > 0 ? FormatNumber(generation.one_shot_fitness, 4) : "-",
        FormatCount(static_cast<double>(generation.trained_tokens)), FormatSeconds(generation.engine_seconds),
        generation.rank_agreement);
  }
  return html + "</table></div></details>";
}

std::string CostHtml(const JobCost& cost) {
  const std::vector<std::vector<std::string>> rows = JobCostTable(cost, "taken");
  if (rows.empty()) return "";
  std::string html = absl::StrCat("<section><h2>What it took</h2>", TableHtml(rows, false));
  if (!cost.basis.empty()) {
    absl::StrAppend(&html, "<p class=\"legend\">Times expected before it began: ", EscapeHtml(cost.basis), ".</p>");
  }
  return html + "</section>";
}

std::string MaskSection(const RunReport& report) {
  std::string html =
      absl::StrCat("<section><h2>The mask</h2><div class=\"scroll\">", MaskChart(report.units).markup(),
                   "</div><p class=\"legend\">Heads (attention) and neurons (FFN) kept in each layer; the stronger the "
                   "colour, the more is left; a crossed cell is removed altogether.</p>");
  if (!report.yardsticks.empty())
    absl::StrAppend(&html, "<details><summary>Beside the masks it is compared with</summary>");
  for (const ReportYardstick& yardstick : report.yardsticks) {
    absl::StrAppend(&html, "<h3>", EscapeHtml(yardstick.name), "</h3><div class=\"scroll\">",
                    MaskChart(yardstick.units).markup(), "</div>");
  }
  if (!report.yardsticks.empty()) absl::StrAppend(&html, "</details>");
  return html + "</section>";
}

std::string FitnessSection(const RunReport& report) {
  const std::string chart = FitnessPicture(report.history).markup();
  if (chart.empty()) {
    return "<section><h2>Fitness by generation</h2><p class=\"legend\">No generation was asked for: the result is the "
           "first "
           "parent.</p></section>";
  }
  const bool has_one_shot = std::any_of(report.history.begin(), report.history.end(),
                                        [](const auto& generation) { return generation.one_shot_fitness > 0; });
  return absl::StrCat(
      "<section><h2>Fitness by generation</h2>", chart,
      "<p class=\"legend\"><span class=\"key\" style=\"background:var(--leaf)\"></span>the generation's parent after "
      "its last stage, with one standard error",
      has_one_shot ? " &nbsp; <span class=\"key\" style=\"background:var(--blue)\"></span>the same mask before any training" : "",
      ". KL divergence from the dense model, nats a token; lower is better.</p>", HistoryHtml(report), "</section>");
}

}  // namespace

std::vector<std::vector<std::string>> ResultTable(const RunReport& report) {
  std::vector<std::vector<std::string>> rows;
  rows.push_back({"", "parameters", "one-shot KL", "one-shot perplexity", "perplexity"});
  rows.push_back({"dense", FormatCount(static_cast<double>(report.dense_parameters)), "-", "-",
                  FormatNumber(report.dense_perplexity, 2)});
  for (const ReportYardstick& yardstick : report.yardsticks) {
    rows.push_back(
        {yardstick.name, FormatCount(static_cast<double>(yardstick.parameters)),
         FormatNumber(yardstick.one_shot_fitness, 4), FormatNumber(yardstick.one_shot_perplexity, 2),
         yardstick.recovered_perplexity.has_value() ? FormatNumber(*yardstick.recovered_perplexity, 2) : "-"});
  }
  rows.push_back({"searched", FormatCount(static_cast<double>(report.parameters)),
                  FormatNumber(report.one_shot_fitness, 4), FormatNumber(report.one_shot_perplexity, 2),
                  FormatNumber(report.perplexity, 2)});
  return rows;
}

std::string ReportHtml(const RunReport& report) {
  const std::string title =
      absl::StrCat(EscapeHtml(report.title), " pruned to ", FormatCount(static_cast<double>(report.parameters)));
  std::string html = absl::StrCat(
      "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
      "content=\"width=device-width,initial-scale=1\"><title>",
      title, " - Espalier</title><style>", PictureStyle(), "</style></head><body><main><h1>", title,
      "</h1><p class=\"lead\">Target ", FormatCount(static_cast<double>(report.target_parameters)),
      " parameters, windows of ", report.sequence_length, " tokens. ", EscapeHtml(StoppedInWords(report.stopped_because)),
      report.chosen_because.empty() ? "" : absl::StrCat(" ", EscapeHtml(report.chosen_because), "."), "</p>");
  absl::StrAppend(
      &html, Tiles(report), "<section><h2>Result</h2>", TableHtml(ResultTable(report), true),
      "<p class=\"legend\">One-shot: straight from the level bank, before any training. KL: mean divergence from the "
      "dense "
      "model, nats a token. Perplexity: of the exported folder",
      report.recovery_tokens > 0
          ? absl::StrCat(", after ", FormatCount(static_cast<double>(report.recovery_tokens)), " tokens of recovery")
          : "",
      ".</p>",
      report.evaluate_command.empty()
          ? ""
          : absl::StrCat("<p class=\"legend\">Measured again, on the same windows, by <code>",
                         EscapeHtml(report.evaluate_command), "</code></p>"),
      "</section>");
  absl::StrAppend(&html, MaskSection(report), FitnessSection(report), CostHtml(report.cost));
  absl::StrAppend(
      &html,
      "<section><h2>Where it came from</h2><details><summary>Seed, specification, digests, versions</summary><pre>",
      EscapeHtml(report.provenance.dump(2)), "</pre></details><p class=\"legend\">Mask ",
      EscapeHtml(report.mask_digest), "</p></section></main></body></html>\n");
  return html;
}

}  // namespace espalier
