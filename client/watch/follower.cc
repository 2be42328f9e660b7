#include "client/watch/follower.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/commands/job_names.h"
#include "client/render/live_screen.h"
#include "client/render/progress_view.h"
#include "client/render/terminal.h"
#include "client/run/interrupt.h"
#include "client/watch/watched.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"

namespace espalier {
namespace {

using SteadyTime = std::chrono::steady_clock::time_point;

constexpr std::chrono::milliseconds kDrawEvery{200};
constexpr std::chrono::milliseconds kAskEvery{2000};  // for what no stream tells: workers, candidates
constexpr std::chrono::milliseconds kAskAtMostEvery{400};  // when a stage has begun
constexpr absl::Duration kAnswerWithin = absl::Seconds(5);

ScreenOptions OptionsFor(std::FILE* stream) {
  return {.width = TerminalWidth(stream), .height = TerminalHeight(stream), .use_colours = WantsColours(stream)};
}

bool KeepGoing() { return !IsInterrupted(); }

WatchedFleet AskForFleet(Connection& connection) {
  WatchedFleet fleet;
  v1::ListWorkersRequest request;
  request.set_page_size(1000);
  const auto response = connection.Call(&v1::SearchService::Stub::ListWorkers, request, kAnswerWithin, KeepGoing);
  fleet.is_known = response.ok();
  if (!response.ok()) {
    fleet.why_not = ToString(response.status().message());
    return fleet;
  }
  for (const v1::Worker& worker : response->workers()) fleet.workers.push_back(ToWatched(worker));
  return fleet;
}

// The job's candidates from the last page on that was full before: earlier generations are not fetched again.
class CandidateTail {
 public:
  const std::vector<v1::Candidate>& Ask(Connection& connection, const std::string& job) {
    v1::ListCandidatesRequest request;
    request.set_parent(job);
    request.set_page_size(200);
    request.set_brief(true);
    request.set_page_token(last_page_);
    std::vector<v1::Candidate> found;
    while (!IsInterrupted()) {
      const auto response = connection.Call(&v1::SearchService::Stub::ListCandidates, request, kAnswerWithin, KeepGoing);
      if (!response.ok()) return candidates_;
      found.insert(found.end(), response->candidates().begin(), response->candidates().end());
      if (response->next_page_token().empty()) break;
      previous_ = std::exchange(last_page_, response->next_page_token());
      request.set_page_token(last_page_);
    }
    // A generation may lie on both sides of a page's end.
    last_page_ = previous_;
    candidates_ = std::move(found);
    return candidates_;
  }

 private:
  std::string previous_, last_page_;  // the last page's token and that of the one before
  std::vector<v1::Candidate> candidates_;
};

// What the stream's thread and the painter's share.
struct Shared {
  std::mutex mutex;
  std::condition_variable changed;
  v1::Job job;                   // guarded by mutex, as all below
  TimeLeftEstimator estimator;
  SteadyTime seen;
  bool has_job = false;
  bool is_over = false;
};

// The job as it must look now: its clock goes on between two answers.
WatchedJob PresentState(Shared& shared) {
  const std::lock_guard lock(shared.mutex);
  WatchedJob watched = ToWatched(shared.job);
  watched.left = shared.estimator.Estimate();
  if (shared.job.state() == v1::Job::RUNNING)
    watched.progress.elapsed += std::chrono::duration<double>(std::chrono::steady_clock::now() - shared.seen).count();
  return watched;
}

void PaintJob(Connection& connection, const std::string& name, std::FILE* stream, Shared& shared) {
  LiveScreen screen(stream);
  CandidateTail tail;
  WatchedFleet fleet;
  std::vector<v1::Candidate> candidates;
  SteadyTime asked;
  std::string asked_at;  // generation and stage
  while (true) {
    {
      std::unique_lock lock(shared.mutex);
      if (shared.changed.wait_for(lock, kDrawEvery, [&shared] { return shared.is_over; })) return;
      if (!shared.has_job) continue;
    }
    WatchedJob job = PresentState(shared);
    const auto since = std::chrono::steady_clock::now() - asked;
    const std::string at = absl::StrCat(job.progress.step, job.progress.generation, "/", job.progress.stage);
    if (since > kAskEvery || (at != asked_at && since > kAskAtMostEvery)) {
      fleet = AskForFleet(connection);
      candidates = tail.Ask(connection, name);
      asked = std::chrono::steady_clock::now();
      asked_at = at;
    }
    AddBest(candidates, job);
    screen.Draw(JobScreen(job, fleet, OptionsFor(stream)));
  }
}

// The active jobs' estimators and details.
class JobTable {
 public:
  absl::StatusOr<std::vector<WatchedJob>> Ask(Connection& connection, std::vector<v1::Job>* raw) {
    ESPALIER_ASSIGN_OR_RETURN(*raw, AllJobs(connection, kAnswerWithin));
    std::vector<WatchedJob> watched;
    bool has_details = false;
    for (v1::Job& job : *raw) {
      if (!HasEnded(job) && job.state() == v1::Job::RUNNING && !has_details) {
        v1::GetJobRequest request;
        request.set_name(job.name());
        auto whole = connection.Call(&v1::SearchService::Stub::GetJob, request, kAnswerWithin, KeepGoing);
        if (whole.ok()) job = *std::move(whole);
        has_details = true;
      }
      watched.push_back(ToWatched(job));
      if (HasEnded(job)) continue;
      TimeLeftEstimator& estimator = estimators_[job.name()];
      estimator.Add(watched.back().progress);
      watched.back().left = estimator.Estimate();
    }
    return watched;
  }

 private:
  std::map<std::string, TimeLeftEstimator> estimators_;
};

// A line for each job whose state, step, generation or stage has changed.
void LogChanges(const std::vector<v1::Job>& jobs, std::map<std::string, std::string>& last, std::FILE* stream) {
  for (const v1::Job& job : jobs) {
    const std::string key = absl::StrCat(job.state(), "/", job.progress().step(), "/", job.progress().generation(), "/",
                                         job.progress().stage());
    if (std::exchange(last[job.name()], key) == key) continue;
    const std::string now = absl::FormatTime("%H:%M:%S", absl::Now(), absl::LocalTimeZone());
    std::fprintf(stream, "%s  %s  %s\n", now.c_str(), job.name().c_str(), ProgressLine(job).c_str());
  }
  std::fflush(stream);
}

}  // namespace

absl::StatusOr<v1::Job> WatchOnScreen(Connection& connection, const std::string& name, std::FILE* stream) {
  Shared shared;
  // Before the screen appears: a job that is not there is an error on the ordinary one.
  v1::GetJobRequest request;
  request.set_name(name);
  ESPALIER_RETURN_IF_ERROR(connection.Call(&v1::SearchService::Stub::GetJob, request).status());
  std::thread painter([&] { PaintJob(connection, name, stream, shared); });
  const auto on_change = [&shared](const v1::Job& job) {
    const std::lock_guard lock(shared.mutex);
    shared.job = job;
    shared.seen = std::chrono::steady_clock::now();
    shared.has_job = true;
    shared.estimator.Add(ToWatched(job).progress);
  };
  absl::StatusOr<v1::Job> job = FollowJob(connection, name, absl::Seconds(60), on_change, KeepGoing);
  {
    const std::lock_guard lock(shared.mutex);
    shared.is_over = true;
  }
  shared.changed.notify_all();
  painter.join();
  return job;
}

absl::Status WatchAll(Connection& connection, std::FILE* stream) {
  const bool is_screen = IsTerminal(stream);
  JobTable table;
  std::vector<v1::Job> raw;
  ESPALIER_ASSIGN_OR_RETURN(std::vector<WatchedJob> jobs, table.Ask(connection, &raw));
  std::map<std::string, std::string> logged;
  std::unique_ptr<LiveScreen> screen;
  if (is_screen) screen = std::make_unique<LiveScreen>(stream);
  while (true) {
    if (is_screen) {
      screen->Draw(JobsScreen(jobs, AskForFleet(connection), OptionsFor(stream)));
    } else {
      LogChanges(raw, logged, stream);
    }
    if (std::none_of(raw.begin(), raw.end(), [](const v1::Job& job) { return !HasEnded(job); })) return absl::OkStatus();
    for (int i = 0; i < 5; ++i) {
      if (IsInterrupted()) return absl::CancelledError("interrupted");
      std::this_thread::sleep_for(kDrawEvery);
    }
    ESPALIER_ASSIGN_OR_RETURN(jobs, table.Ask(connection, &raw));
  }
}

}  // namespace espalier
