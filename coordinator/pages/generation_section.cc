#include "coordinator/pages/generation_section.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/picture/numbers.h"
#include "common/picture/rank_chart.h"
#include "coordinator/pages/parts.h"

namespace espalier {
namespace {

const Measurement* MeasurementAt(const CandidateView& candidate, int stage) {
  for (const auto& [at, measurement] : candidate.by_stage) {
    if (at == stage) return &measurement;
  }
  return nullptr;
}

const GenerationView* EndOf(const JobSnapshot& snapshot) {
  for (const GenerationView& generation : snapshot.job.generations) {
    if (generation.generation == *snapshot.generation) return &generation;
  }
  return nullptr;
}

// Those that the generation drew, the furthest and best first; uniform, additive and the like are not among them.
std::vector<CandidateView> OffspringOf(const JobSnapshot& snapshot) {
  std::vector<CandidateView> offspring;
  for (const CandidateView& candidate : snapshot.candidates) {
    if (candidate.id.find('/') != std::string::npos) offspring.push_back(candidate);
  }
  const auto key = [](const CandidateView& candidate) {
    if (candidate.by_stage.empty()) return std::make_tuple(0, false, 0.0);
    const auto& [stage, measurement] = candidate.by_stage.back();
    return std::make_tuple(-1 - stage, !measurement.feasible, measurement.fitness);
  };
  std::stable_sort(offspring.begin(), offspring.end(),
                   [&](const CandidateView& a, const CandidateView& b) { return key(a) < key(b); });
  return offspring;
}

std::vector<std::string> StageNames(const JobSnapshot& snapshot, const std::vector<CandidateView>& offspring) {
  std::vector<std::string> names;
  const int phase = offspring.empty() ? 0 : offspring.front().phase;
  if (phase >= static_cast<int>(snapshot.job.spec.phases.size())) return names;
  for (const Stage& stage : snapshot.job.spec.phases[phase].stages) {
    names.push_back(absl::StrCat("stage ", names.size() + 1, ": ",
                                 stage.train_tokens == 0 ? std::string("score only") : CountOf(stage.train_tokens) + " tokens"));
  }
  return names;
}

Html RanksOf(const JobSnapshot& snapshot, const std::vector<CandidateView>& offspring,
             const std::vector<std::string>& stage_names, const std::string& winner) {
  std::vector<RankedLine> lines;
  for (const CandidateView& candidate : offspring) {
    RankedLine line{candidate.id.substr(candidate.id.rfind('/') + 1), CandidatePath(snapshot.job.job_id, candidate.id),
                    std::vector<int>(stage_names.size(), 0), candidate.mask_digest == winner};
    for (int stage = 0; stage < static_cast<int>(stage_names.size()); ++stage) {
      const Measurement* own = MeasurementAt(candidate, stage);
      if (own == nullptr || !own->feasible) continue;
      line.ranks[stage] = 1;
      for (const CandidateView& other : offspring) {
        const Measurement* measured = MeasurementAt(other, stage);
        const bool is_better = measured != nullptr && measured->feasible &&
                               (measured->fitness < own->fitness ||
                                (measured->fitness == own->fitness && other.mask_digest < candidate.mask_digest));
        if (is_better) ++line.ranks[stage];
      }
    }
    lines.push_back(std::move(line));
  }
  return RankChart(stage_names, lines);
}

std::string FateOf(const CandidateView& candidate, int num_stages, bool is_over, bool is_winner) {
  if (candidate.by_stage.empty()) return is_over ? "not measured" : "waiting";
  const auto& [stage, measurement] = candidate.by_stage.back();
  if (!measurement.feasible) return "infeasible: " + measurement.infeasible_reason;
  if (is_winner) return "the new parent";
  if (stage + 1 == num_stages) return is_over ? "in the last stage" : "measured";
  return is_over ? absl::StrCat("out after stage ", stage + 1) : absl::StrCat("reached stage ", stage + 1);
}

Html CandidatesTable(const JobSnapshot& snapshot, const std::vector<CandidateView>& offspring, int num_stages,
                     const GenerationView* end) {
  std::vector<std::string> stage_heads;
  for (int stage = 0; stage < num_stages; ++stage) stage_heads.push_back(absl::StrCat("stage ", stage + 1));
  std::vector<Column> columns = {"candidate", {"cost", "wide"}};
  for (const std::string& head : stage_heads) columns.push_back(head.c_str());
  columns.push_back({"", "text wrap"});
  std::vector<Row> rows;
  for (const CandidateView& candidate : offspring) {
    const bool is_winner = end != nullptr && end->parent_digest == candidate.mask_digest;
    Row row{{CandidateLink(snapshot.job.job_id, candidate), CountOf(candidate.cost)}};
    for (int stage = 0; stage < num_stages; ++stage) {
      const Measurement* measurement = MeasurementAt(candidate, stage);
      row.cells.push_back(measurement == nullptr || !measurement->feasible
                              ? Html("")
                              : Html(WithError(measurement->fitness, measurement->standard_error)));
    }
    row.cells.push_back(FateOf(candidate, num_stages, end != nullptr, is_winner));
    const bool is_out = end != nullptr && !is_winner && static_cast<int>(candidate.by_stage.size()) < num_stages;
    row.css_class = is_winner ? "result" : is_out ? "out" : "";
    rows.push_back(std::move(row));
  }
  return TableOf(columns, rows);
}

Html OutcomeOf(const JobSnapshot& snapshot, const std::vector<CandidateView>& offspring, const GenerationView* end) {
  Html text;
  if (snapshot.parent.has_value()) {
    text += "It began with ";
    text += CandidateLink(snapshot.job.job_id, *snapshot.parent);
    text += ". ";
  }
  if (end == nullptr) {
    text += "It is not over.";
    return text;
  }
  const bool is_new = std::any_of(offspring.begin(), offspring.end(), [&](const CandidateView& candidate) {
    return candidate.mask_digest == end->parent_digest;
  });
  text += is_new ? "One of its candidates became the new parent" : "None was better: the parent stayed";
  text += absl::StrFormat("; fitness %s, rank agreement %.2f.", WithError(end->fitness, end->standard_error),
                          end->rank_agreement);
  return text;
}

Html PagerOfGenerations(const JobSnapshot& snapshot) {
  const int number = *snapshot.generation;
  const int newest = std::max(snapshot.job.progress.step == "search" ? snapshot.job.progress.generation : 0,
                              snapshot.job.generations.empty() ? 0 : snapshot.job.generations.back().generation);
  const std::string path = absl::StrCat(JobPath(snapshot.job.job_id), "?generation=");
  Html content;
  if (number > 0) content += LinkOf(absl::StrCat(path, number, "#generation"), "\xE2\x86\x90 the one before");
  if (number < newest) content += LinkOf(absl::StrCat(path, number + 2, "#generation"), "the next \xE2\x86\x92");
  if (number < newest) content += LinkOf(JobPath(snapshot.job.job_id) + "#generation", "the newest");
  return Element("div", {{"class", "pager"}}, content);
}

}  // namespace

Html GenerationSection(const JobSnapshot& snapshot) {
  if (!snapshot.generation.has_value()) return {};
  const GenerationView* end = EndOf(snapshot);
  const std::vector<CandidateView> offspring = OffspringOf(snapshot);
  const std::vector<std::string> stage_names = StageNames(snapshot, offspring);
  Html content = Element("h2", {}, absl::StrCat("Generation ", *snapshot.generation + 1, ", candidate by candidate"));
  content += Element("p", {{"class", "lead"}}, OutcomeOf(snapshot, offspring, end));
  if (offspring.empty()) {
    content += LegendOf("This generation has no candidates.");
  } else {
    content += Scrolling(RanksOf(snapshot, offspring, stage_names, end == nullptr ? "" : end->parent_digest));
    content += CandidatesTable(snapshot, offspring, static_cast<int>(stage_names.size()), end);
    content += LegendOf(
        "Rank and fitness (nats per token, with one standard error) in each stage. Stages have windows of their own, "
        "so compare within a column.");
  }
  content += PagerOfGenerations(snapshot);
  return Element("section", {{"id", "generation"}}, content);
}

}  // namespace espalier
