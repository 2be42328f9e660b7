#include "client/render/progress_view.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/render/format.h"
#include "client/render/terminal.h"
#include "client/render/text_width.h"

namespace espalier {
namespace {

const char* Title(const std::string& step) {
  if (step == "bank") return "level bank";
  if (step == "additive") return "scoring units";
  if (step == "search") return "search";
  if (step == "play_off") return "play-off";
  if (step == "finish") return "recovery and export";
  return "done";
}

double Elapsed(const v1::JobProgress& progress) {
  return static_cast<double>(progress.elapsed().seconds()) + progress.elapsed().nanos() * 1e-9;
}

}  // namespace

double ProgressShare(const v1::Job& job) {
  const v1::JobProgress& progress = job.progress();
  if (progress.step() != "search" || progress.num_generations() == 0) return -1;
  double within = 0;
  if (progress.num_stages() > 0) {
    const double stage =
        progress.tasks_total() > 0 ? static_cast<double>(progress.tasks_done()) / progress.tasks_total() : 0;
    within = (progress.stage() + stage) / progress.num_stages();
  }
  return std::min(1.0, (progress.generation() + within) / progress.num_generations());
}

std::string ProgressLine(const v1::Job& job) {
  const v1::JobProgress& progress = job.progress();
  if (job.state() == v1::Job::QUEUED) {
    return job.waiting_for().empty() ? "queued, waiting for a worker" : absl::StrCat("queued: ", job.waiting_for());
  }
  std::string line = Title(progress.step());
  if (progress.step() == "search" && progress.num_generations() > 0) {
    absl::StrAppend(&line, "  generation ", std::min(progress.generation() + 1, progress.num_generations()), "/",
                    progress.num_generations());
    if (progress.num_stages() > 0) absl::StrAppend(&line, "  stage ", progress.stage() + 1, "/", progress.num_stages());
  }
  if (progress.tasks_total() > 0)
    absl::StrAppend(&line, "  ", progress.tasks_done(), "/", progress.tasks_total(), " tasks");
  if (progress.tokens_per_second() > 0)
    absl::StrAppend(&line, "  ", FormatCount(progress.tokens_per_second()), " tok/s");
  if (progress.best_fitness() > 0) {
    absl::StrAppend(&line, "  best ", FormatNumber(progress.best_fitness(), 4), " ± ",
                    FormatNumber(progress.best_standard_error(), 4));
  }
  const double elapsed = Elapsed(progress);
  absl::StrAppend(&line, "  ", FormatSeconds(elapsed));
  const double share = ProgressShare(job);
  if (share > 0.05 && share < 1)
    absl::StrAppend(&line, ", about ", FormatSeconds(elapsed * (1 - share) / share), " left");
  if (job.state() == v1::Job::RUNNING && !job.waiting_for().empty()) absl::StrAppend(&line, "  waits: ", job.waiting_for());
  if (job.state() == v1::Job::PAUSED) absl::StrAppend(&line, "  (paused)");
  return line;
}

ProgressView::ProgressView(std::FILE* stream) : stream_(stream), is_terminal_(IsTerminal(stream)) {}

ProgressView::~ProgressView() { Finish(); }

void ProgressView::Clear() {
  if (has_open_line_) std::fputs("\r\x1b[K", stream_);
  has_open_line_ = false;
}

void ProgressView::Show(const v1::Job& job) {
  for (; generations_seen_ < job.generations_size(); ++generations_seen_) {
    const v1::Generation& generation = job.generations(generations_seen_);
    Note(absl::StrFormat("generation %d  fitness %.4f ± %.4f  trained %s tokens  scored %s tokens",
                         generation.generation() + 1, generation.fitness(), generation.standard_error(),
                         FormatCount(generation.trained_tokens()), FormatCount(generation.scored_tokens())));
  }
  const std::string line = ProgressLine(job);
  if (!is_terminal_) {
    const std::string key = absl::StrCat(job.state(), "/", job.progress().step(), "/", job.progress().generation(), "/",
                                         job.progress().stage());
    if (key == last_key_) return;
    last_key_ = key;
    std::fprintf(stream_, "%s\n", line.c_str());
    std::fflush(stream_);
    return;
  }
  if (line == last_line_ && has_open_line_) return;
  Clear();
  std::fputs(FitText(line, TerminalWidth(stream_) - 1).c_str(), stream_);
  std::fflush(stream_);
  has_open_line_ = true;
  last_line_ = line;
}

void ProgressView::Note(const std::string& line) {
  Clear();
  std::fprintf(stream_, "%s\n", line.c_str());
  std::fflush(stream_);
}

void ProgressView::Finish() {
  Clear();
  std::fflush(stream_);
}

}  // namespace espalier
