#include "absl/strings/match.h"
#include "absl/strings/str_join.h"
#include "client/render/text_width.h"
#include "client/watch/bars.h"
#include "client/watch/screen.h"
#include "client/watch/time_left.h"
#include "tests/support/catch.h"

namespace espalier {
namespace {

ProgressSample Search(double elapsed, int generation, int stage = 0, int done = 0) {
  return {.step = "search",
          .elapsed = elapsed,
          .generation = generation,
          .num_generations = 10,
          .stage = stage,
          .num_stages = 2,
          .tasks_done = done,
          .tasks_total = 8,
          .tasks_running = 2,
          .engine_seconds = {}};
}

WatchedJob Job() {
  WatchedJob job;
  job.name = "jobs/first";
  job.title = "模型 night run";
  job.state = "running";
  job.target = "60.0%";
  job.model = "/data/tiny";
  job.progress = Search(130, 2, 1, 3);
  job.trained_tokens = 1200000;
  job.planned_train_tokens = 4000000;
  job.scored_tokens = 3300000;
  job.tokens_per_second = 41200;
  job.best_fitness = 0.8571;
  job.best_error = 0.0102;
  job.fitness = {0.9, 0.87, 0.8571};
  job.stages = {{.candidates = 16, .train_tokens = 0, .score_tokens = 4096, .done = 16, .is_present = false, .best = 0.86, .best_error = 0.01},
                {.candidates = 4, .train_tokens = 8192, .score_tokens = 8192, .done = 3, .is_present = true}};
  job.left = {190, "5.0 generations more, 38s each as the last 3 generations took"};
  return job;
}

WatchedFleet Fleet(int count) {
  WatchedFleet fleet;
  fleet.is_known = true;
  for (int i = 0; i < count; ++i)
    fleet.workers.push_back({"workers/0123456789abcdef", i == 0 ? "idle" : "busy", "node" + std::to_string(i), "NVIDIA H200",
                             i == 0 ? "" : "p0/g2/c03/s1 (train 45.0%)", i == 0 ? 0.0 : 20600.0});
  return fleet;
}

std::string Text(const std::vector<std::string>& lines) { return absl::StrJoin(lines, "\n"); }
bool Shows(const std::string& text, const std::string& part) { return absl::StrContains(text, part); }

TEST_CASE("TimeLeft: generations that were watched from begin to end give the pace") {
  TimeLeftEstimator estimator;
  REQUIRE(estimator.Estimate().seconds < 0);
  for (int generation = 0; generation < 4; ++generation) estimator.Add(Search(5 + 10 * generation, generation));
  const TimeLeft left = estimator.Estimate();  // 6 whole ones and the present one are left
  REQUIRE(left.seconds == Approx(70));
  REQUIRE(Shows(left.basis, "7.0 generations more, 10s each as the last 2 generations took"));
}

TEST_CASE("TimeLeft: who comes late takes the device time of earlier generations") {
  TimeLeftEstimator estimator;
  ProgressSample sample = Search(500, 5);
  sample.engine_seconds = {100, 120, 140, 160, 180};
  estimator.Add(sample);
  REQUIRE(estimator.Estimate().seconds == Approx(5 * 20 / 2.0));
  REQUIRE(Shows(estimator.Estimate().basis, "20s of device time each as the last 4 generations took, 2 tasks at once"));
}

TEST_CASE("TimeLeft: before a generation is done, the share of the search or nothing") {
  TimeLeftEstimator estimator;
  estimator.Add(Search(100, 0, 0, 0));
  REQUIRE(estimator.Estimate().seconds < 0);
  REQUIRE(Shows(estimator.Estimate().basis, "not known before"));
  estimator.Add(Search(110, 0, 1, 0));  // half a generation of ten
  REQUIRE(estimator.Estimate().seconds == Approx(190));
  REQUIRE(Shows(estimator.Estimate().basis, "from 5.0% of the search in 10s"));
}

TEST_CASE("TimeLeft: another step is told by its own tasks, and starts anew") {
  TimeLeftEstimator estimator;
  estimator.Add(Search(10, 0));
  estimator.Add(Search(20, 1));
  ProgressSample bank{.step = "bank", .elapsed = 30, .tasks_done = 2, .tasks_total = 12};
  estimator.Add(bank);
  REQUIRE(estimator.Estimate().seconds < 0);
  bank.elapsed = 34;
  bank.tasks_done = 4;
  estimator.Add(bank);
  REQUIRE(estimator.Estimate().seconds == Approx(16));
  REQUIRE(Shows(estimator.Estimate().basis, "for this step alone, from 2 of its 12 tasks in 4.0s"));
}

TEST_CASE("TimeLeft: generations that went by unseen do not count as one") {
  TimeLeftEstimator estimator;
  estimator.Add(Search(0, 0));
  estimator.Add(Search(10, 1));
  estimator.Add(Search(50, 5));
  estimator.Add(Search(60, 6));
  REQUIRE(estimator.Estimate().seconds == Approx(40));
}

TEST_CASE("Bars: filled to the share, a sparkline from least to greatest") {
  REQUIRE(ProgressBar(0.5, 4) == "██░░");
  REQUIRE(ProgressBar(0.0, 4) == "░░░░");
  REQUIRE(ProgressBar(7, 3) == "███");
  REQUIRE(DisplayWidth(ProgressBar(0.33, 10)) == 10);
  REQUIRE(Sparkline({3, 2, 1}, 10) == "█▅▁");
  REQUIRE(Sparkline({1, 1}, 10) == "▄▄");
  REQUIRE(DisplayWidth(Sparkline(std::vector<double>(200, 1.0), 40)) == 40);
  REQUIRE(Sparkline({}, 10).empty());
}

TEST_CASE("JobScreen: progress, stages, fitness, tokens, time left with its basis, fleet") {
  const std::string text = Text(JobScreen(Job(), Fleet(3), {.width = 100, .height = 40}));
  for (const char* part :
       {"jobs/first", "模型 night run", "running", "/data/tiny to 60.0%", "generation 3/10", "41.2k tok/s", "about 3m10s: 5.0 generations more",
        "stage  candidates", "16/16", "0.8600 ± 0.0100", "3/4", "█", "0.9000 to 0.8571 in 3 generations", "0.8571 ± 0.0102",
        "1.20M trained of 4.00M planned (30.0%), 3.30M scored", "3 workers: 2 busy, 1 idle; 41.2k tok/s; 3 x NVIDIA H200",
        "01234567", "p0/g2/c03/s1 (train 45.0%)", "Ctrl-C"})
    REQUIRE(Shows(text, part));
  REQUIRE_FALSE(Shows(text, "\x1b"));
  REQUIRE(Shows(Text(JobScreen(Job(), Fleet(3), {.width = 100, .height = 40, .use_colours = true})), "\x1b[36mrunning"));
}

TEST_CASE("JobScreen: fits any terminal, and the workers give way first") {
  for (const int width : {40, 60, 80, 200}) {
    for (const int height : {12, 24, 50}) {
      const std::vector<std::string> lines = JobScreen(Job(), Fleet(30), {.width = width, .height = height});
      REQUIRE(static_cast<int>(lines.size()) <= height);
      for (const std::string& line : lines) REQUIRE(DisplayWidth(line) <= width);
    }
  }
  REQUIRE(Shows(Text(JobScreen(Job(), Fleet(30), {.width = 100, .height = 24})), "30 workers"));
}

TEST_CASE("JobScreen: a job that waits says for what, one that failed says why") {
  WatchedJob job = Job();
  job.state = "queued";
  job.waiting_for = "no worker has 40 GiB of device memory";
  WatchedFleet unknown;
  unknown.why_not = "the role does not allow it";
  const std::string queued = Text(JobScreen(job, unknown, {}));
  REQUIRE(Shows(queued, "no worker has 40 GiB of device memory"));
  REQUIRE(Shows(queued, "not known: the role does not allow it"));
  job.state = "failed";
  job.failure = "task bank/3 was given up";
  const std::string failed = Text(JobScreen(job, Fleet(0), {}));
  REQUIRE(Shows(failed, "task bank/3 was given up"));
  REQUIRE(Shows(failed, "no workers: start some"));
}

TEST_CASE("JobsScreen: active jobs first, the details of the one that runs, all within the terminal") {
  std::vector<WatchedJob> jobs;
  for (int i = 0; i < 50; ++i) {
    jobs.push_back(Job());
    jobs.back().name = "jobs/old" + std::to_string(i);
    jobs.back().state = "succeeded";
  }
  jobs.push_back(Job());
  const std::vector<std::string> lines = JobsScreen(jobs, Fleet(2), {.width = 100, .height = 40});
  REQUIRE(lines.size() <= 40);
  REQUIRE(Shows(lines[1], "jobs/first"));
  REQUIRE(Shows(Text(lines), "and 31 more"));
  REQUIRE(Shows(Text(lines), "about 3m10s"));
  REQUIRE(Shows(Text(JobsScreen({}, Fleet(0), {})), "no jobs"));
}

}  // namespace
}  // namespace espalier
