#include "client/watch/watched.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "client/render/format.h"
#include "common/picture/task_words.h"

namespace espalier {
namespace {

ProgressSample SampleOf(const v1::Job& job) {
  const v1::JobProgress& progress = job.progress();
  ProgressSample sample{.step = progress.step(),
                        .elapsed = static_cast<double>(progress.elapsed().seconds()) + progress.elapsed().nanos() * 1e-9,
                        .generation = progress.generation(),
                        .num_generations = progress.num_generations(),
                        .stage = progress.stage(),
                        .num_stages = progress.num_stages(),
                        .tasks_done = progress.tasks_done(),
                        .tasks_total = progress.tasks_total(),
                        .tasks_running = progress.tasks_running()};
  for (const v1::Generation& generation : job.generations()) sample.engine_seconds.push_back(generation.engine_seconds());
  return sample;
}

std::vector<WatchedStage> StagesOf(const v1::Job& job) {
  std::vector<WatchedStage> stages;
  const v1::JobProgress& progress = job.progress();
  if (progress.phase() < 0 || progress.phase() >= job.spec().phases_size()) return stages;
  const v1::Phase& phase = job.spec().phases(progress.phase());
  int candidates = phase.offspring();
  for (int i = 0; i < phase.stages_size(); ++i) {
    WatchedStage stage;
    stage.is_present = i == progress.stage() && progress.step() == "search";
    // The present stage's tasks are what was really drawn; the parent may join the last stage.
    stage.candidates = stage.is_present && progress.tasks_total() > 0 ? progress.tasks_total() : candidates;
    stage.done = stage.is_present ? progress.tasks_done() : i < progress.stage() ? stage.candidates : 0;
    stage.train_tokens = phase.stages(i).train_tokens();
    stage.score_tokens = phase.stages(i).score_tokens();
    candidates = phase.stages(i).survivors();
    stages.push_back(stage);
  }
  return stages;
}

}  // namespace

WatchedJob ToWatched(const v1::Job& job) {
  WatchedJob watched;
  watched.name = job.name();
  watched.title = job.spec().display_name();
  watched.state = absl::AsciiStrToLower(v1::Job::State_Name(job.state()));
  watched.target = job.spec().target().kind_case() == v1::Target::kCount
                       ? FormatCount(static_cast<double>(job.spec().target().count()))
                       : FormatPercent(job.spec().target().share());
  watched.model = job.spec().model_folder();
  watched.waiting_for = job.waiting_for();
  watched.failure = job.failure();
  watched.progress = SampleOf(job);
  const v1::JobProgress& progress = job.progress();
  watched.trained_tokens = progress.trained_tokens();
  watched.planned_train_tokens = progress.planned_train_tokens();
  watched.scored_tokens = progress.scored_tokens();
  watched.tokens_per_second = progress.tokens_per_second();
  watched.best_fitness = progress.best_fitness();
  watched.best_error = progress.best_standard_error();
  for (const v1::Generation& generation : job.generations()) watched.fitness.push_back(generation.fitness());
  watched.stages = StagesOf(job);
  watched.given_up.assign(job.failed_tasks().begin(), job.failed_tasks().end());
  return watched;
}

void AddBest(const std::vector<v1::Candidate>& candidates, WatchedJob& job) {
  for (const v1::Candidate& candidate : candidates) {
    if (candidate.generation() != job.progress.generation) continue;
    for (const v1::Candidate::StageMeasurement& measured : candidate.measurements()) {
      if (measured.stage() < 0 || measured.stage() >= static_cast<int>(job.stages.size())) continue;
      if (!measured.measurement().feasible()) continue;
      WatchedStage& stage = job.stages[static_cast<size_t>(measured.stage())];
      if (stage.best >= 0 && stage.best <= measured.measurement().fitness()) continue;
      stage.best = measured.measurement().fitness();
      stage.best_error = measured.measurement().standard_error();
    }
  }
}

WatchedWorker ToWatched(const v1::Worker& worker) {
  WatchedWorker watched;
  watched.name = worker.name();
  watched.state = absl::AsciiStrToLower(v1::Worker::State_Name(worker.state()));
  watched.host = worker.description().host_name();
  watched.device = worker.description().device_name();
  for (const v1::Worker::Activity& activity : worker.activities()) {
    absl::StrAppend(&watched.doing, watched.doing.empty() ? "" : "; ", TaskInWords(activity.lease().task()));
    const v1::TaskProgress& progress = activity.progress();
    if (!progress.step().empty()) absl::StrAppend(&watched.doing, ": ", progress.step());
    if (progress.total() > 0) {
      absl::StrAppend(&watched.doing, " ",
                      FormatPercent(static_cast<double>(progress.done()) / static_cast<double>(progress.total())));
    }
    watched.tokens_per_second += progress.tokens_per_second();
  }
  return watched;
}

}  // namespace espalier
