#include "coordinator/pages/job_page.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/picture/fitness_chart.h"
#include "common/picture/line_chart.h"
#include "common/picture/numbers.h"
#include "common/picture/reasons.h"
#include "common/picture/task_words.h"
#include "coordinator/pages/generation_section.h"
#include "coordinator/pages/job_cost.h"
#include "coordinator/pages/page.h"
#include "coordinator/pages/parts.h"
#include "coordinator/pages/units.h"

namespace espalier {
namespace {

constexpr double kHalfWidth = 430;

Html LeadOf(const JobView& job, absl::Time now) {
  Html text = BadgeOf(job.state);
  text += absl::StrCat(" ", job.job_id, " \xC2\xB7 created ", AgoOf(now - job.create_time));
  if (const std::string model = FileNameOf(job.spec.model_folder); model != TitleOf(job)) {
    text += " \xC2\xB7 model ";
    text += NameOf(model);
  }
  if (job.preview.dense_cost > 0) {
    text += absl::StrFormat(" \xC2\xB7 target %s of %s %s (%s)", CountOf(job.preview.target_cost),
                            CountOf(job.preview.dense_cost), Name(job.spec.cost.kind),
                            FormatPercent(static_cast<double>(job.preview.target_cost) /
                                          static_cast<double>(job.preview.dense_cost)));
  }
  return Element("p", {{"class", "lead"}}, text);
}

std::string StepInWords(const JobProgress& progress) {
  if (progress.step == "search" && progress.num_stages > 0) {
    return absl::StrCat("phase ", progress.phase + 1, ", stage ", progress.stage + 1, " of ", progress.num_stages, ": ",
                        progress.tasks_done, " of ", progress.tasks_total, " candidates");
  }
  if (progress.step == "search") return "between generations";
  if (progress.step == "done") return "the search is over";
  const char* step = progress.step == "bank"       ? "building the level bank"
                     : progress.step == "additive" ? "scoring every unit alone"
                     : progress.step == "play_off" ? "play-off of the finalists"
                     : progress.step == "finish"   ? "recovery, export and proof"
                                                   : "not begun";
  if (progress.tasks_total == 0) return step;
  return absl::StrCat(step, ": ", progress.tasks_done, " of ", progress.tasks_total);
}

Html TilesOf(const JobSnapshot& snapshot) {
  const JobView& job = snapshot.job;
  const JobProgress& progress = job.progress;
  const WorkLeft left = WorkLeftOf(job);
  const bool is_over = IsFinal(job.state);
  Html tiles;
  if (job.result.has_value()) {
    const JobResult& result = *job.result;
    tiles += TileOf(CountOf(result.parameters), absl::StrCat("parameters, of ", CountOf(result.dense_parameters)));
    tiles += TileOf(FormatNumber(result.perplexity, 2),
                    absl::StrCat("perplexity (dense ", FormatNumber(result.dense_perplexity, 2), ")"));
    tiles += TileOf(FormatNumber(result.fitness, 4), absl::StrFormat("fitness, \xC2\xB1\xC2\xA0%.4f", result.fitness_standard_error));
  } else {
    const std::string generation = progress.num_generations > 0 && !progress.best_digest.empty()
                                       ? absl::StrCat(std::min(progress.generation + 1, progress.num_generations), " of ",
                                                      progress.num_generations)
                                       : "-";
    tiles += TileOf(progress.best_fitness > 0 ? FormatNumber(progress.best_fitness, 4) : "-",
                    progress.best_standard_error > 0
                        ? absl::StrFormat("best fitness, \xC2\xB1\xC2\xA0%.4f", progress.best_standard_error)
                        : std::string("best fitness"));
    Html step = job.state == JobState::kQueued ? std::string("not begun") : StepInWords(progress);
    if (progress.tasks_total > 0 && !is_over) {
      step += MeterOf(static_cast<double>(progress.tasks_done) / progress.tasks_total);
    }
    tiles += TileOf(absl::StrCat(generation), step);
  }
  Html tokens = is_over ? Html("tokens trained") : Html(absl::StrCat("tokens trained, at most ", CountOf(left.tokens), " left"));
  if (!is_over) tokens += MeterOf(left.share_done);
  tiles += TileOf(CountOf(progress.trained_tokens), tokens);
  tiles += TileOf(FormatSeconds(progress.engine_seconds),
                  is_over || !left.device_seconds.has_value()
                      ? std::string("device time")
                      : absl::StrCat("device time, about ", FormatSeconds(*left.device_seconds), " left"));
  tiles += TileOf(FormatSeconds(absl::ToDoubleSeconds(job.elapsed)),
                  is_over || !left.seconds.has_value()
                      ? std::string("running time")
                      : absl::StrCat("running time, about ", FormatSeconds(*left.seconds), " left"));
  return Element("div", {{"class", "tiles"}}, tiles);
}

// How many candidates of the whole search could not be measured, and where to look at them.
Html InfeasibleInAll(const JobSnapshot& snapshot) {
  constexpr int kMostLinks = 24;
  int total = 0;
  for (const auto& [generation, count] : snapshot.infeasible_candidates) total += count;
  Html links;
  int num_links = 0;
  // The newest first, as the ones that somebody looks for.
  for (auto each = snapshot.infeasible_candidates.rbegin(); each != snapshot.infeasible_candidates.rend(); ++each) {
    if (num_links++ == kMostLinks) {
      links += absl::StrCat(" and ", snapshot.infeasible_candidates.size() - kMostLinks, " more");
      break;
    }
    const int number = each->first + 1;
    links += num_links == 1 ? " generation " : ", ";
    links += LinkOf(absl::StrCat(JobPath(snapshot.job.job_id), "?generation=", number, "#generation"), absl::StrCat(number));
    if (each->second > 1) links += absl::StrCat(" (", each->second, ")");
  }
  return Element("li", {}, absl::StrCat("infeasible over all generations: ", total, total == 1 ? " candidate," : " candidates,"), links);
}

Html ErrorsOf(const JobSnapshot& snapshot) {
  const JobView& job = snapshot.job;
  Html html;
  if (!job.failure.empty()) html += NoticeOf("bad", "The job failed", Element("span", {}, job.failure));
  if (!job.waiting_for.empty() && !IsFinal(job.state)) html += NoticeOf("warn", "Nothing of it runs", job.waiting_for);
  Html items;
  for (const std::string& task : job.failed_tasks) items += Element("li", {}, "given up: ", task);
  for (const auto& [task_id, reasons] : snapshot.troubles) {
    items += Element("li", {}, "tried again: ", task_id, ": ", reasons);
  }
  if (!snapshot.infeasible_candidates.empty()) items += InfeasibleInAll(snapshot);
  for (const CandidateView& candidate : snapshot.candidates) {
    if (!IsInfeasible(candidate)) continue;
    items += Element("li", {}, "infeasible: ", CandidateLink(job.job_id, candidate), ": ",
                     candidate.by_stage.back().second.infeasible_reason);
  }
  if (!items.empty()) html += SectionOf("Errors", Element("ul", {{"class", "plain"}}, items));
  return html;
}

Html HistoryTable(const JobView& job) {
  std::vector<Row> rows;
  for (const GenerationView& generation : job.generations) {
    const std::string number = absl::StrCat(generation.generation + 1);
    rows.push_back({{LinkOf(absl::StrCat(JobPath(job.job_id), "?generation=", number, "#generation"), number),
                     WithError(generation.fitness, generation.standard_error),
                     generation.one_shot_fitness > 0 ? FormatNumber(generation.one_shot_fitness, 4) : "-",
                     CountOf(generation.trained_tokens), FormatSeconds(generation.engine_seconds),
                     FormatNumber(generation.rank_agreement, 2), ShortDigest(generation.parent_digest)}});
  }
  return Element("details", {}, Element("summary", {}, "Every generation"),
                 TableOf({"generation", "fitness", "one-shot", "trained tokens", "device time", "rank agreement", "mask"},
                         rows));
}

Html FitnessSection(const JobView& job) {
  FitnessLine line;
  for (const GenerationView& generation : job.generations) {
    line.points.push_back({generation.generation, generation.fitness, generation.standard_error,
                           generation.one_shot_fitness, generation.engine_seconds});
  }
  if (line.points.empty()) return SectionOf("Fitness", LegendOf("No generation has ended yet."));
  Html html = Element("div", {{"class", "two"}}, FitnessChart({line}, FitnessBy::kGeneration, kHalfWidth),
                      FitnessChart({line}, FitnessBy::kDeviceTime, kHalfWidth));
  const bool has_one_shot = std::any_of(line.points.begin(), line.points.end(),
                                        [](const FitnessPoint& point) { return point.one_shot_fitness > 0; });
  Html keys = KeyOf("--leaf", "");
  keys += "the generation's parent after its last stage, with one standard error";
  if (has_one_shot) {
    keys += " \xC2\xA0 ";
    keys += KeyOf("--blue", "");
    keys += "the same mask before any training";
  }
  keys += ". KL divergence from the dense model, nats per token; lower is better.";
  html += LegendOf(Element("span", {}, keys));
  html += HistoryTable(job);
  return SectionOf("Fitness", html);
}

Html BestSection(const JobSnapshot& snapshot) {
  if (!snapshot.best.has_value()) return {};
  const JobView& job = snapshot.job;
  const std::vector<PicturedUnit> best = PicturedUnits(job.ladder, snapshot.best->mask);
  Html html = MaskPictureOf(best);
  html += Element("p", {{"class", "legend"}}, "It is ", CandidateLink(job.job_id, *snapshot.best), ", mask ",
                  Element("code", {}, ShortDigest(snapshot.best->mask_digest)), ".");
  html = SectionOf(job.result.has_value() ? "The result's mask" : "The best mask", html);
  if (!snapshot.before.has_value()) return html;
  const std::string pair =
      absl::StrCat("/compare?a=", EncodeForUrl(absl::StrCat(job.job_id, "/", snapshot.before->id)), "&b=",
                   EncodeForUrl(absl::StrCat(job.job_id, "/", snapshot.best->id)));
  Html change = MaskDifferenceOf(PicturedUnits(job.ladder, snapshot.before->mask), best);
  change += Element("p", {{"class", "legend"}}, "The parent before it was ", CandidateLink(job.job_id, *snapshot.before),
                    ". ", LinkOf(pair, "Compare the two"), ".");
  html += SectionOf("What changed from the parent before", change);
  return html;
}

Html AgreementSection(const JobView& job) {
  ChartSeries series{"agreement", {}};
  double sum = 0;
  for (const GenerationView& generation : job.generations) {
    series.points.push_back({generation.generation + 1.0, generation.rank_agreement, 0,
                             absl::StrFormat("generation %d: %.2f", generation.generation + 1, generation.rank_agreement)});
    sum += generation.rank_agreement;
  }
  if (series.points.empty()) return {};
  const auto is_high = [](const ChartPoint& point) { return point.y >= 0.5; };
  const auto high = std::count_if(series.points.begin(), series.points.end(), is_high);
  ChartFrame frame;
  frame.label = "rank agreement by generation";
  frame.x_label = "generation";
  frame.counts_x = true;
  frame.shows_unit = true;
  frame.width = kHalfWidth;
  frame.height = 200;
  const Html words = LegendOf(absl::StrFormat(
      "Rank correlation (Spearman) of the first stage that trains, or of the first stage where only the last one trains, "
      "with the last stage, over the candidates that reached it: 1 is the same order, 0 none. Mean %.2f; at least 0.5 in "
      "%d of %d generations. Low values say that earlier stages choose the wrong survivors.",
      sum / static_cast<double>(series.points.size()), high, series.points.size()));
  return SectionOf("Did the first stage rank as the last did?",
                   Element("div", {{"class", "two"}}, LineChart(frame, {series}), words));
}

Html RunningSection(const JobSnapshot& snapshot) {
  if (IsFinal(snapshot.job.state)) return {};
  if (snapshot.running.empty()) return SectionOf("Running now", LegendOf("No task of it is leased."));
  constexpr size_t kMostShown = 50;
  std::vector<Row> rows;
  for (size_t i = 0; i < snapshot.running.size() && i < kMostShown; ++i) {
    const RunningTask& task = snapshot.running[i];
    Html progress = task.progress.step.empty() ? std::string("-") : task.progress.step;
    if (task.progress.total > 0) {
      progress += MeterOf(static_cast<double>(task.progress.done) / static_cast<double>(task.progress.total));
    }
    const Html worker = NameOf(task.host_name.empty() ? task.worker_id : task.host_name);
    rows.push_back({{TaskInWords(task.task_id), LinkOf(WorkerPath(task.worker_id), worker),
                     NameOf(task.device_name), progress, FormatCount(task.progress.tokens_per_second),
                     FormatSeconds(absl::ToDoubleSeconds(task.since_granted))}});
  }
  Html html = TableOf({"task", {"worker", "text"}, {"device", "text wide"}, {"at", "text"}, "tokens/s", "since"}, rows);
  if (snapshot.running.size() > kMostShown) {
    html += LegendOf(absl::StrCat("and ", snapshot.running.size() - kMostShown, " more"));
  }
  return SectionOf("Running now", html);
}

Html EndOfSearch(const JobView& job) {
  if (!job.result.has_value()) return {};
  std::string text = StoppedInWords(job.result->stopped_because);
  if (!job.result->chosen_because.empty()) absl::StrAppend(&text, " ", job.result->chosen_because, ".");
  for (const std::string& warning : job.result->warnings) absl::StrAppend(&text, " Note: ", warning, ".");
  return SectionOf("How it ended", Element("p", {}, text));
}

}  // namespace

std::string JobPage(const JobSnapshot& snapshot, absl::Time now) {
  const JobView& job = snapshot.job;
  Html body = Element("h1", {}, NameOf(TitleOf(job)));
  body += LeadOf(job, now);
  body += ErrorsOf(snapshot);
  body += TilesOf(snapshot);
  body += FitnessSection(job);
  body += BestSection(snapshot);
  body += EndOfSearch(job);
  body += GenerationSection(snapshot);
  body += AgreementSection(job);
  body += SectionOf("Cost", CostSection(job, now));
  body += RunningSection(snapshot);
  body += Element("p", {{"class", "legend"}},
                  LinkOf(absl::StrCat("/compare?a=", EncodeForUrl(job.job_id)), "Compare this job with another one"), ".");
  return PageOf({TitleOf(job), PageSection::kJobs, IsFinal(job.state) ? 0 : 5, now}, body);
}

}  // namespace espalier
