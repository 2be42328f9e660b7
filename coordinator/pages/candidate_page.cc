#include "coordinator/pages/candidate_page.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/domain/cost.h"
#include "common/picture/numbers.h"
#include "coordinator/pages/page.h"
#include "coordinator/pages/parts.h"
#include "coordinator/pages/units.h"

namespace espalier {
namespace {

std::string ShareOf(int64_t part, int64_t whole) {
  return whole > 0 ? FormatPercent(static_cast<double>(part) / static_cast<double>(whole)) : "-";
}

Html CandidateTiles(const CandidateSnapshot& snapshot) {
  const CandidateView& candidate = snapshot.candidate;
  const JobPreview& preview = snapshot.job.preview;
  Html tiles = TileOf(ShareOf(candidate.cost, preview.dense_cost),
                      absl::StrCat("of the dense cost: ", CountOf(candidate.cost), " ", Name(snapshot.job.spec.cost.kind)));
  tiles += TileOf(ShareOf(candidate.cost, preview.target_cost), absl::StrCat("of the target ", CountOf(preview.target_cost)));
  if (candidate.by_stage.empty()) {
    tiles += TileOf("-", "fitness: not measured");
  } else {
    const auto& [stage, last] = candidate.by_stage.back();
    tiles += TileOf(last.feasible ? FormatNumber(last.fitness, 4) : "infeasible",
                    last.feasible ? absl::StrFormat("fitness in stage %d, \xC2\xB1 %.4f", stage + 1, last.standard_error)
                                  : absl::StrCat("in stage ", stage + 1));
    tiles += TileOf(last.parameters > 0 ? CountOf(last.parameters) : "-",
                    absl::StrCat("parameters, of ", CountOf(preview.dense_parameters)));
  }
  return Element("div", {{"class", "tiles"}}, tiles);
}

Html MeasurementsSection(const CandidateView& candidate) {
  if (candidate.by_stage.empty()) return SectionOf("Measurements", LegendOf("It has not been measured yet."));
  std::vector<Row> rows;
  Html reasons;
  for (const auto& [stage, measured] : candidate.by_stage) {
    const std::string name = absl::StrCat(stage + 1);
    if (!measured.feasible) {
      rows.push_back({{name, "infeasible"}});
      reasons += NoticeOf("bad", "Infeasible", measured.infeasible_reason);
      continue;
    }
    const int64_t tokens = measured.trained_tokens + measured.replayed_tokens;
    const std::string rate =
        measured.train_seconds > 0 ? FormatCount(static_cast<double>(tokens) / measured.train_seconds) : "-";
    rows.push_back({{name, WithError(measured.fitness, measured.standard_error), FormatNumber(measured.loss, 3),
                     CountOf(measured.trained_tokens), CountOf(measured.replayed_tokens), CountOf(measured.scored_tokens),
                     absl::StrFormat("%s + %s + %s", FormatSeconds(measured.assemble_seconds),
                                     FormatSeconds(measured.train_seconds), FormatSeconds(measured.score_seconds)),
                     rate, measured.peak_bytes > 0 ? FormatBytes(static_cast<double>(measured.peak_bytes)) : "-"}});
  }
  Html html = reasons;
  html += TableOf({"stage", "fitness", "loss", "trained", "replayed", "scored", "assemble + train + score", "tokens/s", "memory"},
                  rows);
  html += LegendOf(
      "Fitness and loss in nats per token, the error over the score windows. Replayed: trained again because a retained "
      "state was gone. A parent's last stage is that of its latest measurement.");
  return SectionOf("Measurements", html);
}

struct PartCosts {
  int64_t attention = 0;
  int64_t ffn = 0;
  int64_t rest = 0;
};

PartCosts PartsOf(const CostTable& table, const std::vector<PicturedUnit>& units) {
  PartCosts parts;
  parts.rest = table.constant();
  for (size_t i = 0; i < units.size(); ++i) {
    (units[i].is_attention ? parts.attention : parts.ffn) += table.by_unit_and_level()[i][units[i].level];
  }
  return parts;
}

Html CostByPart(const CandidateSnapshot& snapshot, const std::vector<PicturedUnit>& units) {
  const JobView& job = snapshot.job;
  const CostTable table = BuildCostTable(job.inputs.dense, job.ladder, job.spec.cost, std::nullopt);
  std::vector<PicturedUnit> dense_units = units;
  for (PicturedUnit& unit : dense_units) unit.level = 0;
  const PartCosts dense = PartsOf(table, dense_units);
  const PartCosts own = PartsOf(table, units);
  const auto row = [](const char* name, int64_t part, int64_t whole) {
    return Row{{name, CountOf(part), CountOf(whole), ShareOf(part, whole)}};
  };
  Html html = TableOf({"", "candidate", "dense", "share"},
                      {row("attention", own.attention, dense.attention), row("FFN", own.ffn, dense.ffn),
                       row("embeddings, norms, head", own.rest, dense.rest),
                       Row{{"all", CountOf(own.attention + own.ffn + own.rest),
                            CountOf(dense.attention + dense.ffn + dense.rest),
                            ShareOf(own.attention + own.ffn + own.rest, dense.attention + dense.ffn + dense.rest)},
                           "result"}});
  std::vector<Row> rows;
  for (size_t i = 0; i < units.size(); ++i) {
    const int64_t cost = table.by_unit_and_level()[i][units[i].level];
    const int64_t whole = table.by_unit_and_level()[i][0];
    rows.push_back({{units[i].name, absl::StrCat(units[i].size - units[i].removed, " of ", units[i].size),
                     absl::StrCat(units[i].level, " of ", units[i].num_levels - 1), CountOf(cost), ShareOf(cost, whole)}});
  }
  html += Element("details", {}, Element("summary", {}, "Every unit"),
                  TableOf({"unit", "kept", "level", Name(job.spec.cost.kind), "share"}, rows));
  if (job.ladder.head_granularity == HeadGranularity::kHead && !job.ladder.keep_kv_whole) {
    html += LegendOf("KV heads count whole here; those that no kept head reads are dropped, so the candidate is smaller.");
  }
  return SectionOf("Cost by part", html);
}

Html AncestrySection(const CandidateSnapshot& snapshot, const std::vector<PicturedUnit>& units) {
  const std::string& job_id = snapshot.job.job_id;
  Html html;
  if (snapshot.parent.has_value()) {
    html += MaskDifferenceOf(PicturedUnits(snapshot.job.ladder, snapshot.parent->mask), units);
    html += Element("p", {{"class", "legend"}}, "Mutated from its parent ", CandidateLink(job_id, *snapshot.parent), ". ",
                    LinkOf(absl::StrCat("/compare?a=", EncodeForUrl(absl::StrCat(job_id, "/", snapshot.parent->id)),
                                        "&b=", EncodeForUrl(absl::StrCat(job_id, "/", snapshot.candidate.id))),
                           "Compare the two"),
                    ".");
  } else {
    html += LegendOf(snapshot.candidate.id == "uniform" ? "It has no parent: every unit gives the same share."
                     : snapshot.candidate.id == "additive"
                         ? "It has no parent: it is the optimum of the units' scores alone."
                         : "It has no parent: with it the search began.");
  }
  if (!snapshot.won.empty()) {
    Html list;
    for (const GenerationView& generation : snapshot.won) {
      const std::string number = absl::StrCat(generation.generation + 1);
      if (!list.empty()) list += ", ";
      list += LinkOf(absl::StrCat(JobPath(job_id), "?generation=", number, "#generation"), number);
    }
    html += Element("p", {{"class", "legend"}}, "It was the parent after generation ", list, ".");
  }
  return SectionOf("Where it came from", html);
}

}  // namespace

std::string CandidatePage(const CandidateSnapshot& snapshot, absl::Time now) {
  const CandidateView& candidate = snapshot.candidate;
  const JobView& job = snapshot.job;
  const std::vector<PicturedUnit> units = PicturedUnits(job.ladder, candidate.mask);
  Html body = Element("h1", {}, "Candidate ", candidate.id);
  Html lead = "of ";
  lead += LinkOf(JobPath(job.job_id), NameOf(TitleOf(job)));
  lead += absl::StrCat(" \xC2\xB7 generation ", candidate.generation + 1, " \xC2\xB7 mask ");
  lead += Element("code", {}, candidate.mask_digest);
  body += Element("p", {{"class", "lead"}}, lead);
  body += CandidateTiles(snapshot);
  body += SectionOf("Its mask", MaskPictureOf(units));
  body += MeasurementsSection(candidate);
  if (!units.empty()) body += CostByPart(snapshot, units);
  body += AncestrySection(snapshot, units);
  const int refresh = IsFinal(job.state) || job.progress.generation > candidate.generation ? 0 : 10;
  return PageOf({absl::StrCat("Candidate ", candidate.id), PageSection::kJobs, refresh, now}, body);
}

}  // namespace espalier
