#include "client/explain/explanation.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "client/render/colours.h"
#include "client/render/format.h"
#include "client/render/text_width.h"
#include "common/picture/reasons.h"

namespace espalier {
namespace {

std::string Counted(double count) { return FormatCount(count); }

const ReportYardstick* YardstickNamed(const RunReport& report, const std::string& name) {
  for (const ReportYardstick& yardstick : report.yardsticks) {
    if (yardstick.name == name) return &yardstick;
  }
  return nullptr;
}

// "a one-shot KL of 0.8621 against 1.0564 of the uniform mask: 18.4% less"
std::string Against(double ours, double theirs, const std::string& whose) {
  std::string text = absl::StrCat(FormatNumber(ours, 4), " against ", FormatNumber(theirs, 4), " of the ", whose);
  if (theirs <= 0) return text;
  const double share = 1 - ours / theirs;
  if (share == 0) return absl::StrCat(text, ": the same");
  return absl::StrCat(text, ": ", FormatPercent(std::abs(share)), share > 0 ? " less" : " more");
}

std::string Wrapped(const std::string& sentence, int width) {
  std::string text, line = "  ";
  for (const absl::string_view word : absl::StrSplit(sentence, ' ', absl::SkipEmpty())) {
    const std::string next(word);
    if (line.size() > 2 && DisplayWidth(line) + 1 + DisplayWidth(next) > width) {
      absl::StrAppend(&text, line, "\n");
      line = "    ";
      line += next;
      continue;
    }
    if (line.size() > 2) line += ' ';
    line += next;
  }
  return absl::StrCat(text, line, "\n");
}

}  // namespace

ExplanationPart ExplainResult(const RunReport& report) {
  ExplanationPart part{"What came out", {}};
  part.sentences.push_back(absl::StrCat(
      Counted(static_cast<double>(report.parameters)), " of ", Counted(static_cast<double>(report.dense_parameters)),
      " parameters are left (",
      FormatPercent(static_cast<double>(report.parameters) / std::max<double>(1, static_cast<double>(report.dense_parameters))),
      "); the target was ", Counted(static_cast<double>(report.target_parameters)), "."));
  if (report.dense_perplexity > 0) {
    part.sentences.push_back(absl::StrCat("Its perplexity is ", FormatNumber(report.perplexity, 2), ", ",
                                          FormatNumber(report.perplexity / report.dense_perplexity, 2),
                                          " times the dense model's ", FormatNumber(report.dense_perplexity, 2), "."));
    if (!report.evaluate_command.empty())
      part.sentences.push_back(absl::StrCat("The same windows are scored again by: ", report.evaluate_command));
  }
  if (const ReportYardstick* uniform = YardstickNamed(report, "uniform"); uniform != nullptr) {
    part.sentences.push_back(absl::StrCat("Before any training its KL divergence from the dense model is ",
                                          Against(report.one_shot_fitness, uniform->one_shot_fitness, "uniform mask"),
                                          "."));
    if (uniform->recovered_perplexity.has_value() && report.recovery_tokens > 0) {
      part.sentences.push_back(absl::StrCat("After the same recovery its perplexity is ",
                                            Against(report.perplexity, *uniform->recovered_perplexity, "uniform mask"),
                                            "."));
    }
  }
  return part;
}

ExplanationPart ExplainHowSure(const RunReport& report) {
  ExplanationPart part{"How sure it is", {}};
  part.sentences.push_back(absl::StrCat(
      "The winner's fitness is ", FormatNumber(report.fitness, 4), " nats a token with a standard error of ",
      FormatNumber(report.fitness_standard_error, 4),
      report.fitness > 0 ? absl::StrCat(" (", FormatPercent(report.fitness_standard_error / report.fitness), ")") : "",
      " over the windows that it was scored on."));
  if (!report.chosen_because.empty()) part.sentences.push_back(absl::StrCat("Chosen because: ", report.chosen_because, "."));
  double sum = 0;
  int count = 0;
  for (const ReportGeneration& generation : report.history) {
    if (generation.rank_agreement == 0) continue;
    sum += generation.rank_agreement;
    ++count;
  }
  if (count == 0) {
    part.sentences.push_back("How well the first trained stage ranks candidates was not measured.");
    return part;
  }
  const double mean = sum / count;
  part.sentences.push_back(absl::StrCat(
      "The first trained stage ranked candidates as the last one did with a coefficient of ", FormatNumber(mean, 2),
      " on the mean of ", count, count == 1 ? " generation" : " generations", " (1: alike, 0: by chance), which makes it ",
      mean >= 0.7   ? "a guide to trust."
      : mean >= 0.4 ? "a fair guide."
                    : "a weak guide: candidates were dropped early that might have won; more tokens in the first stages, or "
                      "more survivors, would make it surer."));
  return part;
}

ExplanationPart ExplainWhatMoreMightBring(const RunReport& report) {
  ExplanationPart part{"What more budget might bring", {}};
  const auto& history = report.history;
  if (history.empty()) {
    part.sentences.push_back("No generation was run: the mask is the first parent, and what a search would add was not measured.");
  } else {
    // Fitness is comparable only within a phase: another one trains on other tokens.
    size_t begin = history.size() > 6 ? history.size() - 6 : 0;
    while (history[begin].phase != history.back().phase) ++begin;
    int changes = 0;
    for (size_t i = begin + 1; i < history.size(); ++i) changes += history[i].parent_digest != history[i - 1].parent_digest;
    const double fall = history[begin].fitness - history.back().fitness;
    const double error = std::max(history[begin].standard_error, history.back().standard_error);
    const int steps = static_cast<int>(history.size() - 1 - begin);
    const std::string stopped = report.stopped_because.empty() ? "" : absl::StrCat(StoppedInWords(report.stopped_because), " ");
    if (steps == 0) {
      part.sentences.push_back(absl::StrCat(stopped, "One generation alone shows no trend."));
    } else {
      part.sentences.push_back(absl::StrCat(
          stopped, "In its last ", steps + 1, " generations the parent changed ", changes, changes == 1 ? " time" : " times",
          " and its fitness ", fall >= 0 ? "fell" : "rose", " by ", FormatNumber(std::abs(fall), 4),
          ", where one measurement's standard error is ", FormatNumber(error, 4), "."));
      part.sentences.push_back(
          fall > 2 * error ? "That is more than noise: it was still improving, and more generations might bring more."
          : fall > error   ? "That is about the noise: more generations may bring a little."
          : changes > 0    ? "That is within the noise: the masks it moved between are about as good as each other, and more "
                             "generations of this kind are unlikely to bring much."
                           : "Nothing better was found in them: more generations of this kind are unlikely to bring much.");
    }
  }
  if (report.recovery_tokens > 0 && report.one_shot_perplexity > 0) {
    part.sentences.push_back(absl::StrCat(
        "Recovery on ", Counted(static_cast<double>(report.recovery_tokens)), " tokens took the perplexity from ",
        FormatNumber(report.one_shot_perplexity, 2), " to ", FormatNumber(report.perplexity, 2), "; ",
        FormatNumber(std::max(0.0, report.perplexity - report.dense_perplexity), 2),
        " above the dense model remain. How much of that further recovery would take was not measured."));
  } else {
    part.sentences.push_back(
        "The result was not trained before its export: a recovery (--recovery-tokens) is what usually brings most, and was "
        "not measured here.");
  }
  return part;
}

std::vector<ExplanationPart> Explain(const RunReport& report, const GivenUp& given_up) {
  return {ExplainResult(report),
          ExplainWhatGave(report, given_up),
          ExplainWhatWasKept(report),
          ExplainWhatTheSearchChanged(report),
          ExplainHowSure(report),
          ExplainWhatMoreMightBring(report)};
}

std::string ExplanationText(const std::vector<ExplanationPart>& parts, int width, const char* title_colour) {
  std::string text;
  for (const ExplanationPart& part : parts) {
    if (part.sentences.empty()) continue;
    if (!text.empty()) text += "\n";
    absl::StrAppend(&text, title_colour == nullptr ? part.title : Paint(part.title, title_colour), "\n");
    for (const std::string& sentence : part.sentences) text += Wrapped(Printable(sentence), width);
  }
  return text;
}

nlohmann::ordered_json ExplanationJson(const std::string& source, const std::vector<ExplanationPart>& parts) {
  nlohmann::ordered_json json;
  json["source"] = source;
  json["parts"] = nlohmann::ordered_json::array();
  for (const ExplanationPart& part : parts) {
    if (!part.sentences.empty()) json["parts"].push_back({{"title", part.title}, {"sentences", part.sentences}});
  }
  return json;
}

}  // namespace espalier
