#include "coordinator/pages/jobs_page.h"

#include "absl/strings/str_cat.h"
#include "common/picture/numbers.h"
#include "coordinator/pages/page.h"
#include "coordinator/pages/parts.h"

namespace espalier {
namespace {

int CountIn(const JobsSnapshot& jobs, JobState state) {
  const auto found = jobs.by_state.find(state);
  return found == jobs.by_state.end() ? 0 : found->second;
}

Html JobsTiles(const JobsSnapshot& jobs, const CoordinatorSnapshot& coordinator) {
  const int present = coordinator.workers_idle + coordinator.workers_busy + coordinator.workers_draining +
                      coordinator.workers_quarantined;
  const int waiting = CountIn(jobs, JobState::kQueued) + CountIn(jobs, JobState::kPaused);
  const int ended_badly = CountIn(jobs, JobState::kFailed) + CountIn(jobs, JobState::kCancelled);
  return Element("div", {{"class", "tiles"}}, TileOf(absl::StrCat(CountIn(jobs, JobState::kRunning)), "running"),
                 TileOf(absl::StrCat(waiting), "queued or paused"),
                 TileOf(absl::StrCat(CountIn(jobs, JobState::kSucceeded)), "succeeded"),
                 TileOf(absl::StrCat(ended_badly), "failed or cancelled"),
                 TileOf(LinkOf("/workers", absl::StrCat(coordinator.workers_busy, " of ", present)), "workers busy"));
}

Html ProgressCell(const JobView& job) {
  const JobProgress& progress = job.progress;
  if (job.state == JobState::kSucceeded) return "done";
  if (job.state == JobState::kQueued) return "not begun";
  if (progress.step.empty()) return "-";
  std::string text = progress.step == "bank"       ? "level bank"
                     : progress.step == "additive" ? "units alone"
                     : progress.step == "play_off" ? "play-off"
                     : progress.step == "finish"   ? "recovery, export"
                                                   : progress.step;
  if (progress.step == "search") {
    text = absl::StrCat("generation ", progress.generation + 1, " of ", progress.num_generations);
  } else if (progress.tasks_total > 1) {
    absl::StrAppend(&text, ", ", progress.tasks_done, " of ", progress.tasks_total);
  }
  Html cell = text;
  if (IsFinal(job.state) || progress.planned_train_tokens <= 0) return cell;
  cell += MeterOf(static_cast<double>(progress.trained_tokens) / static_cast<double>(progress.planned_train_tokens));
  return cell;
}

Row RowOf(const JobView& job, absl::Time now) {
  const JobProgress& progress = job.progress;
  Html name = LinkOf(JobPath(job.job_id), NameOf(TitleOf(job)));
  name += Element("span", {{"class", "sub"}}, job.job_id);
  Html time = FormatSeconds(absl::ToDoubleSeconds(job.elapsed));
  // Of a search that ended before this coordinator began, the progress is read when somebody opens its page.
  const bool is_known = progress.num_evaluations > 0 || !IsFinal(job.state);
  if (is_known) time += Element("span", {{"class", "sub"}}, FormatSeconds(progress.engine_seconds), " of devices");
  return {{name, BadgeOf(job.state), ProgressCell(job),
           progress.best_fitness > 0 ? WithError(progress.best_fitness, progress.best_standard_error) : "-",
           is_known ? CountOf(progress.trained_tokens) : "-", time, AgoOf(now - job.create_time)}};
}

}  // namespace

std::string JobsPage(const JobsSnapshot& jobs, const CoordinatorSnapshot& coordinator, int page, absl::Time now) {
  Html body = Element("h1", {}, "Jobs");
  body += Element("p", {{"class", "lead"}}, "One search each: a dense model, a target, a token budget.");
  body += JobsTiles(jobs, coordinator);
  if (jobs.total == 0) {
    body += SectionOf("No job yet",
                      Element("p", {}, "Submit one: ",
                              Element("code", {}, "espalier submit --model MODEL --tokens TOKENS.npy --target 60%"),
                              ". It appears here at once, and begins as soon as a worker is there."));
  } else {
    std::vector<Row> rows;
    for (const JobView& job : jobs.jobs) rows.push_back(RowOf(job, now));
    Html table = TableOf({{"job", "name"}, {"state", "text"}, {"progress", "text narrow"}, {"fitness", "narrow"},
                          {"trained tokens", "wide"}, {"time", "wide"}, {"created", "wide"}},
                         rows);
    table += PagerOf("/jobs?page=", page, kJobsOnPage, jobs.total);
    table += LegendOf(
        "Fitness: KL divergence from the dense model in nats per token, with one standard error; lower is better.");
    body += Element("section", {}, table);
  }
  return PageOf({"Jobs", PageSection::kJobs, 10, now}, body);
}

}  // namespace espalier
