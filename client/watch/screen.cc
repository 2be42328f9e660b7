#include "client/watch/screen.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "client/render/format.h"
#include "client/render/table.h"
#include "client/watch/bars.h"
#include "client/watch/screen_line.h"

namespace espalier {
namespace {

constexpr int kLabel = 15;  // columns of the labels on the left
constexpr int kWidestBar = 40;
constexpr size_t kMostGivenUp = 3;

using Lines = std::vector<std::string>;

class ScreenWriter {
 public:
  explicit ScreenWriter(const ScreenOptions& options) : options_(options) {}
  void Put(const ScreenLine& line) { lines_.push_back(line.Render(options_.width, options_.use_colours)); }
  void Labelled(const std::string& label, const std::string& text, const char* colour = nullptr) {
    Put(ScreenLine().Add(label, kDim).To(kLabel).Add(text, colour));
  }
  // A text that goes on in further lines below itself.
  void Paragraph(const std::string& label, const std::string& text, const char* colour = nullptr) {
    ScreenLine line;
    line.Add(label, kDim).To(kLabel);
    bool is_empty = true;
    for (const absl::string_view word : absl::StrSplit(text, ' ', absl::SkipEmpty())) {
      const std::string next(word);
      if (!is_empty && line.Width() + 1 + DisplayWidth(next) > options_.width) {
        Put(line);
        line = ScreenLine();
        line.To(kLabel);
        is_empty = true;
      }
      line.Add(is_empty ? next : " " + next, colour);
      is_empty = false;
    }
    Put(line);
  }
  void Table(const TableRows& rows) {
    TableOptions table;
    table.width = options_.width;
    if (options_.use_colours) table.colour = [](size_t row, size_t, const std::string& cell) { return row == 0 ? kDim : ColourOfState(cell); };
    for (const absl::string_view line : absl::StrSplit(FormatTable(rows, table), '\n', absl::SkipEmpty()))
      lines_.emplace_back(line);
  }
  void Gap() { lines_.emplace_back(); }
  int room() const { return options_.height - static_cast<int>(lines_.size()); }
  const ScreenOptions& options() const { return options_; }
  Lines Take() {
    if (static_cast<int>(lines_.size()) > options_.height) lines_.resize(std::max(0, options_.height));
    return std::move(lines_);
  }

 private:
  const ScreenOptions options_;
  Lines lines_;
};

// Done of the present step, for the bar; negative when nothing can be said.
double StepShare(const WatchedJob& job) {
  if (job.state == "succeeded") return 1;
  if (job.progress.step == "search") return SearchShare(job.progress);
  if (job.progress.tasks_total <= 0) return -1;
  return static_cast<double>(job.progress.tasks_done) / job.progress.tasks_total;
}

std::string Where(const WatchedJob& job) {
  const ProgressSample& progress = job.progress;
  std::string text;
  if (progress.step == "search" && progress.num_generations > 0) {
    text = absl::StrCat("generation ", std::min(progress.generation + 1, progress.num_generations), "/",
                        progress.num_generations);
  } else if (progress.tasks_total > 0) {
    text = absl::StrCat(progress.tasks_done, "/", progress.tasks_total, " tasks");
  }
  if (job.tokens_per_second > 0)
    absl::StrAppend(&text, text.empty() ? "" : "  ", FormatCount(job.tokens_per_second), " tok/s");
  return text;
}

std::string LeftText(const WatchedJob& job) {
  if (job.left.seconds < 0) return job.left.basis;
  return absl::StrCat("about ", FormatSeconds(job.left.seconds), ": ", job.left.basis);
}

void PutHead(ScreenWriter& screen, const WatchedJob& job) {
  ScreenLine line;
  line.Add(job.name, kBold);
  if (!job.title.empty()) line.Add("  ").Add(job.title);
  line.Add("  ").Add(job.state, ColourOfState(job.state)).Add(absl::StrCat("  ", FormatSeconds(job.progress.elapsed)));
  screen.Put(line);
  screen.Put(ScreenLine().Add(absl::StrCat(job.model, " to ", job.target), kDim));
}

void PutProgress(ScreenWriter& screen, const WatchedJob& job) {
  if (!job.failure.empty()) screen.Paragraph("failed", job.failure, kRed);
  const double share = StepShare(job);
  ScreenLine line;
  line.Add(StepTitle(job.progress.step), kBold).To(kLabel);
  if (share >= 0) {
    const int bar = std::clamp(screen.options().width - 50, 10, kWidestBar);
    line.Add(ProgressBar(share, bar), kCyan).Add(absl::StrCat(" ", FormatPercent(share), "  "));
  }
  screen.Put(line.Add(Where(job)));
  if (!job.HasEnded() && job.state != "queued") screen.Paragraph("time left", LeftText(job));
  if (!job.waiting_for.empty()) screen.Paragraph("waits", job.waiting_for, kYellow);
}

void PutStages(ScreenWriter& screen, const WatchedJob& job) {
  if (job.stages.empty() || job.progress.step != "search" || job.HasEnded()) return;
  TableRows rows = {{"stage", "candidates", "train", "score", "done", "", "best fitness"}};
  for (size_t i = 0; i < job.stages.size(); ++i) {
    const WatchedStage& stage = job.stages[i];
    rows.push_back({absl::StrCat(i + 1), absl::StrCat(stage.candidates), FormatCount(static_cast<double>(stage.train_tokens)),
                    FormatCount(static_cast<double>(stage.score_tokens)), absl::StrCat(stage.done, "/", stage.candidates),
                    stage.is_present               ? "running"
                    : stage.done < stage.candidates ? "waits"
                                                    : "ok",
                    stage.best >= 0 ? absl::StrCat(FormatNumber(stage.best, 4), " ± ", FormatNumber(stage.best_error, 4)) : ""});
  }
  // Of several jobs the candidates are not fetched, and then no stage has a best one.
  const bool has_best = std::any_of(job.stages.begin(), job.stages.end(), [](const WatchedStage& stage) { return stage.best >= 0; });
  if (!has_best) {
    for (auto& row : rows) row.pop_back();
  }
  screen.Gap();
  screen.Table(rows);
}

void PutFitness(ScreenWriter& screen, const WatchedJob& job) {
  screen.Gap();
  if (!job.fitness.empty()) {
    std::string text = absl::StrCat(FormatNumber(job.fitness.front(), 4), " to ", FormatNumber(job.fitness.back(), 4), " in ",
                                    job.fitness.size(), job.fitness.size() == 1 ? " generation" : " generations");
    const int columns = std::min(kWidestBar, screen.options().width - kLabel - static_cast<int>(text.size()) - 2);
    screen.Put(ScreenLine().Add("fitness", kDim).To(kLabel).Add(Sparkline(job.fitness, columns), kGreen).Add("  ").Add(text));
  }
  if (job.best_fitness > 0) {
    screen.Labelled("best", absl::StrCat(FormatNumber(job.best_fitness, 4), " ± ", FormatNumber(job.best_error, 4),
                                         " nats a token from the dense model"));
  }
  std::string tokens = absl::StrCat(FormatCount(static_cast<double>(job.trained_tokens)), " trained");
  if (job.planned_train_tokens > 0) {
    absl::StrAppend(&tokens, " of ", FormatCount(static_cast<double>(job.planned_train_tokens)), " planned (",
                    FormatPercent(static_cast<double>(job.trained_tokens) / static_cast<double>(job.planned_train_tokens)), ")");
  }
  screen.Labelled("tokens", absl::StrCat(tokens, ", ", FormatCount(static_cast<double>(job.scored_tokens)), " scored"));
  for (size_t i = 0; i < std::min(kMostGivenUp, job.given_up.size()); ++i)
    screen.Labelled(i == 0 ? "gave up" : "", job.given_up[i], kRed);
}

// The line, and as many workers as there is room for.
void PutFleet(ScreenWriter& screen, const WatchedFleet& fleet, int reserved) {
  screen.Gap();
  screen.Paragraph("fleet", FleetLine(fleet));
  if (fleet.workers.empty()) return;
  TableRows rows = {{"worker", "state", "host", "doing"}};
  const int room = screen.room() - reserved - 1;
  const size_t most = room > 0 ? static_cast<size_t>(room) : 0;
  for (const WatchedWorker& worker : fleet.workers) {
    if (rows.size() > most) break;
    // Its id is a UUID: the first part tells workers of one fleet apart.
    const std::string id(absl::string_view(worker.name).substr(worker.name.rfind('/') + 1).substr(0, 8));
    rows.push_back({id, worker.state, worker.host, worker.doing.empty() ? "-" : worker.doing});
  }
  if (rows.size() > 1) screen.Table(rows);
}

void PutFoot(ScreenWriter& screen, bool has_ended) {
  if (screen.room() < 2 || has_ended) return;
  screen.Gap();
  screen.Put(ScreenLine().Add("Ctrl-C ends watching; what runs goes on.", kDim));
}

void PutDetails(ScreenWriter& screen, const WatchedJob& job) {
  PutHead(screen, job);
  screen.Gap();
  PutProgress(screen, job);
  PutStages(screen, job);
  PutFitness(screen, job);
}

}  // namespace

std::string StepTitle(const std::string& step) {
  if (step == "bank") return "level bank";
  if (step == "additive") return "scoring units";
  if (step == "search") return "search";
  if (step == "play_off") return "play-off";
  if (step == "finish") return "recovery";
  return step == "done" ? "done" : "queued";
}

std::string FleetLine(const WatchedFleet& fleet) {
  if (!fleet.is_known) return absl::StrCat("not known: ", fleet.why_not);
  if (fleet.workers.empty()) return "no workers: start some with espalier-worker, or espalier fleet up";
  std::map<std::string, int> states, devices;
  double rate = 0;
  for (const WatchedWorker& worker : fleet.workers) {
    ++states[worker.state];
    if (worker.state != "lost") ++devices[worker.device];
    rate += worker.tokens_per_second;
  }
  std::vector<std::string> counted;
  for (const char* state : {"busy", "idle", "draining", "quarantined", "lost"}) {
    if (states[state] > 0) counted.push_back(absl::StrCat(states[state], " ", state));
  }
  std::vector<std::string> named;
  for (const auto& [device, count] : devices) named.push_back(count > 1 ? absl::StrCat(count, " x ", device) : device);
  std::string line = absl::StrCat(fleet.workers.size(), fleet.workers.size() == 1 ? " worker: " : " workers: ",
                                  absl::StrJoin(counted, ", "));
  if (rate > 0) absl::StrAppend(&line, "; ", FormatCount(rate), " tok/s");
  return named.empty() ? line : absl::StrCat(line, "; ", absl::StrJoin(named, ", "));
}

std::vector<std::string> JobScreen(const WatchedJob& job, const WatchedFleet& fleet, const ScreenOptions& options) {
  ScreenWriter screen(options);
  PutDetails(screen, job);
  PutFleet(screen, fleet, 2);
  PutFoot(screen, job.HasEnded());
  return screen.Take();
}

std::vector<std::string> JobsScreen(const std::vector<WatchedJob>& jobs, const WatchedFleet& fleet,
                                    const ScreenOptions& options) {
  ScreenWriter screen(options);
  std::vector<const WatchedJob*> ordered;
  for (const WatchedJob& job : jobs) ordered.push_back(&job);
  std::stable_partition(ordered.begin(), ordered.end(), [](const WatchedJob* job) { return !job->HasEnded(); });
  const auto running = std::find_if(ordered.begin(), ordered.end(), [](const WatchedJob* job) { return job->state == "running"; });
  TableRows rows = {{"job", "state", "progress", "", "where", "time left"}};
  const int details = running == ordered.end() ? 5 : 20;
  const size_t most = static_cast<size_t>(std::max(3, options.height - details));
  for (const WatchedJob* job : ordered) {
    if (rows.size() > most) break;
    const bool is_queued = job->state == "queued";
    const double share = job->HasEnded() || is_queued ? -1 : StepShare(*job);
    rows.push_back({job->name, job->state, job->HasEnded() || is_queued ? "" : StepTitle(job->progress.step),
                    share >= 0 ? ProgressBar(share, 12) : "", job->HasEnded() ? "" : is_queued ? job->waiting_for : Where(*job),
                    !job->HasEnded() && job->left.seconds >= 0 ? FormatSeconds(job->left.seconds) : ""});
  }
  if (jobs.empty()) {
    screen.Put(ScreenLine().Add("no jobs: espalier submit starts one"));
  } else {
    screen.Table(rows);
    if (rows.size() <= ordered.size())
      screen.Put(ScreenLine().Add(absl::StrCat("and ", ordered.size() + 1 - rows.size(), " more"), kDim));
  }
  if (running != ordered.end()) {
    screen.Gap();
    PutDetails(screen, **running);
  }
  PutFleet(screen, fleet, 2);
  PutFoot(screen, false);
  return screen.Take();
}

}  // namespace espalier
