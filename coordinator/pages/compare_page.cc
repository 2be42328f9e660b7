#include "coordinator/pages/compare_page.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/picture/fitness_chart.h"
#include "common/picture/numbers.h"
#include "coordinator/pages/page.h"
#include "coordinator/pages/parts.h"
#include "coordinator/pages/units.h"

namespace espalier {
namespace {

Html FieldOf(const char* label, const char* name, const std::string& value) {
  return Element("label", {}, label,
                 VoidElement("input", {{"name", name}, {"value", value}, {"list", "jobs"}, {"placeholder", "JOB or JOB/CANDIDATE"}}));
}

Html FormOf(const Compared& a, const Compared& b, const std::vector<std::string>& job_ids) {
  Html options;
  for (const std::string& id : job_ids) options += Element("option", {{"value", id}});
  return Element("section", {},
                 Element("form", {{"action", "/compare"}, {"method", "get"}}, FieldOf("one", "a", a.text),
                         FieldOf("the other", "b", b.text), Element("datalist", {{"id", "jobs"}}, options),
                         Element("button", {}, "Compare")));
}

Html NameOfCompared(const Compared& one) {
  Html html = LinkOf(JobPath(one.job->job_id), NameOf(TitleOf(*one.job)));
  if (one.candidate.has_value()) {
    html += " ";
    html += CandidateLink(one.job->job_id, *one.candidate);
  }
  return html;
}

const Measurement* LastOf(const Compared& one) {
  if (!one.candidate.has_value() || one.candidate->by_stage.empty()) return nullptr;
  return &one.candidate->by_stage.back().second;
}

std::string ChangeOf(double share) {
  const std::string text = absl::StrFormat("%+.1f%%", share * 100);
  return text == "+0.0%" || text == "-0.0%" ? "0.0%" : text;
}

Row NumbersRow(const char* name, double a, double b, std::string (*format)(double)) {
  return {{name, format(a), format(b), a > 0 && b > 0 ? ChangeOf(b / a - 1) : "-"}};
}

std::string InFour(double value) { return value > 0 ? FormatNumber(value, 4) : "-"; }
std::string InTwo(double value) { return value > 0 ? FormatNumber(value, 2) : "-"; }

double CostOf(const Compared& one) { return one.candidate.has_value() ? static_cast<double>(one.candidate->cost) : 0; }

Html NumbersSection(const Compared& a, const Compared& b) {
  std::vector<Row> rows = {{{"state", BadgeOf(a.job->state), BadgeOf(b.job->state), ""}}};
  const auto add = [&](const char* name, double of_a, double of_b, std::string (*format)(double)) {
    if (of_a > 0 || of_b > 0) rows.push_back(NumbersRow(name, of_a, of_b, format));
  };
  const Measurement *last_a = LastOf(a), *last_b = LastOf(b);
  const JobProgress &progress_a = a.job->progress, &progress_b = b.job->progress;
  add("cost of the mask", CostOf(a), CostOf(b), FormatCount);
  add("fitness in its last stage", last_a == nullptr ? 0 : last_a->fitness, last_b == nullptr ? 0 : last_b->fitness, InFour);
  add("parameters", last_a == nullptr ? 0 : static_cast<double>(last_a->parameters),
      last_b == nullptr ? 0 : static_cast<double>(last_b->parameters), FormatCount);
  if (a.job->job_id != b.job->job_id) {
    const auto perplexity = [](const Compared& one) { return one.job->result.has_value() ? one.job->result->perplexity : 0; };
    add("perplexity of the result", perplexity(a), perplexity(b), InTwo);
    add("generations", static_cast<double>(a.job->generations.size()), static_cast<double>(b.job->generations.size()), FormatCount);
    add("trained tokens", static_cast<double>(progress_a.trained_tokens), static_cast<double>(progress_b.trained_tokens), FormatCount);
    add("scored tokens", static_cast<double>(progress_a.scored_tokens), static_cast<double>(progress_b.scored_tokens), FormatCount);
    add("device time", progress_a.engine_seconds, progress_b.engine_seconds, FormatSeconds);
    add("running time", absl::ToDoubleSeconds(a.job->elapsed), absl::ToDoubleSeconds(b.job->elapsed), FormatSeconds);
  }
  return SectionOf("Numbers", TableOf({"", "one", "the other", "difference"}, rows));
}

// Same job, generation and stage: same windows, so the noise that both share cancels.
Html PairedSection(const Compared& a, const Compared& b) {
  if (!a.candidate.has_value() || !b.candidate.has_value() || a.job->job_id != b.job->job_id ||
      a.candidate->generation != b.candidate->generation) {
    return {};
  }
  std::vector<Row> rows;
  for (const auto& [stage, of_a] : a.candidate->by_stage) {
    for (const auto& [other, of_b] : b.candidate->by_stage) {
      if (other != stage || !of_a.feasible || !of_b.feasible || of_a.window_fitness.empty() ||
          of_a.window_fitness.size() != of_b.window_fitness.size()) {
        continue;
      }
      const PairedDifference difference = ComparePaired(of_b, of_a);
      rows.push_back({{absl::StrCat(stage + 1), absl::StrFormat("%+.4f", difference.mean),
                       absl::StrFormat("\xC2\xB1 %.4f", difference.standard_error),
                       absl::StrCat(of_a.window_fitness.size())}});
    }
  }
  if (rows.empty()) return {};
  Html html = TableOf({"stage", "the other less the one", "standard error", "windows"}, rows);
  html += LegendOf("Differences of fitness on the same windows; below 0 the other one is better.");
  return SectionOf("Window by window", html);
}

Html SettingsSection(const JobView& a, const JobView& b) {
  std::vector<Row> rows;
  const auto add = [&](const char* name, const std::string& of_a, const std::string& of_b) {
    if (of_a != of_b) rows.push_back({{name, NameOf(of_a), NameOf(of_b)}});
  };
  const auto number = [](double value) { return absl::StrFormat("%g", value); };
  add("model", FileNameOf(a.spec.model_folder), FileNameOf(b.spec.model_folder));
  add("model digest", ShortDigest(a.inputs.model_digest), ShortDigest(b.inputs.model_digest));
  add("tokens", FileNameOf(a.spec.tokens_path), FileNameOf(b.spec.tokens_path));
  add("tokens digest", ShortDigest(a.inputs.tokens_digest), ShortDigest(b.inputs.tokens_digest));
  add("preset", Name(a.spec.preset), Name(b.spec.preset));
  add("seed", absl::StrCat(a.spec.seed), absl::StrCat(b.spec.seed));
  add("cost", Name(a.spec.cost.kind), Name(b.spec.cost.kind));
  add("target", CountOf(a.preview.target_cost), CountOf(b.preview.target_cost));
  add("runtime", Name(a.spec.runtime), Name(b.spec.runtime));
  add("sequence length", absl::StrCat(a.spec.sequence_length), absl::StrCat(b.spec.sequence_length));
  add("training mode", Name(a.spec.mode), Name(b.spec.mode));
  add("phases", absl::StrCat(a.spec.phases.size()), absl::StrCat(b.spec.phases.size()));
  if (!a.spec.phases.empty() && !b.spec.phases.empty()) {
    const Phase &of_a = a.spec.phases.front(), &of_b = b.spec.phases.front();
    add("generations, first phase", absl::StrCat(of_a.generations), absl::StrCat(of_b.generations));
    add("offspring, first phase", absl::StrCat(of_a.offspring), absl::StrCat(of_b.offspring));
    add("stages, first phase", absl::StrCat(of_a.stages.size()), absl::StrCat(of_b.stages.size()));
    add("learning rate, first phase", number(of_a.train.learning_rate), number(of_b.train.learning_rate));
  }
  add("recovery tokens", CountOf(a.spec.recovery.tokens), CountOf(b.spec.recovery.tokens));
  add("workers' class", a.numerics_class, b.numerics_class);
  if (rows.empty()) return SectionOf("What was asked for", LegendOf("The same in everything that this page shows."));
  return SectionOf("What was asked for differs", TableOf({"", {"one", "text wrap"}, {"the other", "text wrap"}}, rows));
}

Html CurvesSection(const JobView& a, const JobView& b) {
  std::vector<FitnessLine> lines(2);
  lines[1].css_class = "second";
  for (size_t i = 0; i < 2; ++i) {
    for (const GenerationView& generation : (i == 0 ? a : b).generations) {
      lines[i].points.push_back(
          {generation.generation, generation.fitness, generation.standard_error, 0, generation.engine_seconds});
    }
  }
  Html html = Element("div", {{"class", "two"}}, FitnessChart(lines, FitnessBy::kGeneration, 430),
                      FitnessChart(lines, FitnessBy::kDeviceTime, 430));
  if (lines[0].points.empty() && lines[1].points.empty()) return {};
  const bool is_one_title = TitleOf(a) == TitleOf(b);
  html += LegendOf(Element("span", {}, KeyOf("--leaf", ""), NameOf(is_one_title ? a.job_id : TitleOf(a)), " \xC2\xA0 ",
                           KeyOf("--wood", ""), NameOf(is_one_title ? b.job_id : TitleOf(b)),
                           ". KL divergence from the dense model, nats per token; lower is better."));
  return SectionOf("Fitness", html);
}

Html MasksSection(const Compared& a, const Compared& b) {
  if (!a.candidate.has_value() || !b.candidate.has_value()) return {};
  const std::vector<PicturedUnit> of_a = PicturedUnits(a.job->ladder, a.candidate->mask);
  const std::vector<PicturedUnit> of_b = PicturedUnits(b.job->ladder, b.candidate->mask);
  Html html = Element("h3", {}, "one: ", NameOfCompared(a));
  html += MaskPictureOf(of_a);
  html += Element("h3", {}, "the other: ", NameOfCompared(b));
  html += Scrolling(MaskChart(of_b));
  html += Element("h3", {}, "from one to the other");
  html += MaskDifferenceOf(of_a, of_b);
  return SectionOf("Masks", html);
}

}  // namespace

std::string ComparePage(const Compared& a, const Compared& b, const std::vector<std::string>& job_ids, absl::Time now) {
  Html body = Element("h1", {}, "Compare");
  body += Element("p", {{"class", "lead"}}, "Two jobs, two masks, or a job's result with one of its candidates.");
  body += FormOf(a, b, job_ids);
  for (const Compared* one : {&a, &b}) {
    if (!one->error.empty()) body += NoticeOf("warn", "Nothing to compare", one->error);
  }
  if (!a.job.has_value() || !b.job.has_value()) return PageOf({"Compare", PageSection::kCompare, 0, now}, body);
  body += Element("p", {{"class", "lead"}}, NameOfCompared(a), " and ", NameOfCompared(b));
  body += NumbersSection(a, b);
  body += PairedSection(a, b);
  if (a.job->job_id != b.job->job_id) {
    body += SettingsSection(*a.job, *b.job);
    body += CurvesSection(*a.job, *b.job);
  }
  body += MasksSection(a, b);
  return PageOf({"Compare", PageSection::kCompare, 0, now}, body);
}

}  // namespace espalier
