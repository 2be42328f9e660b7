// A coordinator over a memory store, and workers that are nothing but their side of the protocol. Time is driven.
#pragma once

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/artifacts/artifact_store.h"
#include "coordinator/core/coordinator.h"
#include "coordinator/store/memory_job_store.h"
#include "tests/support/catch.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/search/search_fixtures.h"

namespace espalier::testing {

inline WorkerDescription CpuWorker(int slots) {
  WorkerDescription description;
  description.host_name = "host";
  description.device_name = "a CPU";
  description.numerics_class = "cpu/fp32/1/avx2";
  description.slots = slots;
  return description;
}

// What the small jobs' tasks give.
inline const FakeEvaluator& Evaluator() {
  static const FakeEvaluator evaluator(SmallInputs(), {});
  return evaluator;
}

inline NewJob SmallJob(const std::string& job_id, int generations) {
  NewJob job;
  job.job_id = job_id;
  job.inputs = SmallInputs();
  job.resolved = Resolved(SmallSpec(generations), job.inputs);
  job.submitted = "as sent";
  job.create_time = absl::FromUnixSeconds(1'700'000'000);
  return job;
}

// The coordinator's side: what a restart keeps, and what it loses.
class Service {
 public:
  explicit Service(absl::Duration lease) : content(std::make_shared<MemoryJobStore::Content>()) {
    auto opened = OpenFolderArtifactStore(folder_ / "artifacts");
    REQUIRE_OK(opened);
    artifacts = *std::move(opened);
    options.lease_duration = lease;
    Restart();
  }

  // As after SIGKILL: only the store's content is left.
  void Restart() { Restart(std::make_unique<MemoryJobStore>(content)); }
  void Restart(std::unique_ptr<MemoryJobStore> over) {
    core = nullptr;
    store = std::move(over);
    Coordinator::Parts parts;
    parts.store = store.get();
    parts.artifacts = artifacts.get();
    parts.programs = JobProgram::Create;
    parts.options = options;
    auto opened = Coordinator::Open(std::move(parts), now);
    REQUIRE_OK(opened);
    core = *std::move(opened);
  }

  void Pass(absl::Duration duration) {
    now += duration;
    core->Tick(now);
  }
  JobView Create(const NewJob& job) {
    auto view = core->CreateJob(now, job);
    REQUIRE_OK(view);
    return *view;
  }
  JobView Get(const std::string& job_id) {
    auto view = core->GetJob(now, job_id);
    REQUIRE_OK(view);
    return *view;
  }
  int CountAttempts(AttemptEnd end) const {
    return static_cast<int>(std::count_if(content->attempts.begin(), content->attempts.end(),
                                          [&](const AttemptRecord& attempt) { return attempt.end == end; }));
  }

  absl::Time now = absl::UnixEpoch() + absl::Hours(1);
  CoordinatorOptions options;
  std::shared_ptr<MemoryJobStore::Content> content;
  std::unique_ptr<MemoryJobStore> store;
  std::unique_ptr<ArtifactStore> artifacts;
  std::unique_ptr<Coordinator> core;

 private:
  TempDir folder_;
};

class FakeWorker {
 public:
  FakeWorker(std::string worker_id, WorkerDescription description) : id(std::move(worker_id)), description_(description) {}

  SynchronizeRequest Request() const {
    SynchronizeRequest request;
    request.worker_id = id;
    request.description = description_;
    request.draining = is_draining;
    for (const auto& [token, task] : held) request.held.push_back({token, {}});
    request.finished = finished;
    request.states = states;
    return request;
  }

  // One call; what it says is done.
  SynchronizeResponse Call(Service& service) {
    const auto answer = service.core->Synchronize(service.now, Request());
    REQUIRE_OK(answer);
    Apply(answer->response);
    return answer->response;
  }

  void Apply(const SynchronizeResponse& response) {
    for (const Verdict& verdict : response.verdicts) {
      std::erase_if(finished, [&](const FinishedAttempt& attempt) { return attempt.token == verdict.token; });
      verdicts.push_back(verdict);
    }
    for (const LeaseToken& token : response.stop) held.erase(token);
    for (const LeaseGrant& grant : response.grants) held[grant.token] = grant.task;
  }

  // Everything that it holds is done.
  void Work(const FakeEvaluator& evaluator) {
    for (const auto& [token, task] : held) finished.push_back({token, evaluator.Run(task)});
    held.clear();
  }
  void Fail(const absl::Status& status) {
    for (const auto& [token, task] : held) finished.push_back({token, TaskFailure{status, ""}});
    held.clear();
  }
  Decision LastDecision() const {
    REQUIRE_FALSE(verdicts.empty());
    return verdicts.back().decision;
  }

  const std::string id;
  bool is_draining = false;
  std::map<LeaseToken, Task> held;
  std::vector<FinishedAttempt> finished;
  std::vector<RetainedState> states;
  std::vector<Verdict> verdicts;

 private:
  WorkerDescription description_;
};

inline std::vector<FakeWorker> Workers(int count, int slots = 1) {
  std::vector<FakeWorker> workers;
  for (int i = 0; i < count; ++i) workers.emplace_back(absl::StrCat("w", i), CpuWorker(slots));
  return workers;
}

// Runs a job to its end with these workers, each taking a step at a time.
inline void RunToEnd(Service& service, const std::string& job_id, std::vector<FakeWorker>& workers,
                     const FakeEvaluator& evaluator) {
  for (int i = 0; i < 20'000 && !IsFinal(service.Get(job_id).state); ++i) {
    FakeWorker& worker = workers[i % workers.size()];
    worker.Work(evaluator);
    worker.Call(service);
    service.Pass(absl::Milliseconds(10));
  }
}

// What must be equal when two runs were the same search.
inline std::string SearchText(Service& service, const std::string& job_id) {
  std::string text;
  const auto candidates = service.core->ListCandidates(service.now, job_id);
  REQUIRE_OK(candidates);
  for (const CandidateView& candidate : *candidates) absl::StrAppend(&text, candidate.id, " ", candidate.mask_digest, "\n");
  const JobView job = service.Get(job_id);
  REQUIRE(job.result.has_value());
  absl::StrAppend(&text, job.result->mask_digest, " ", job.result->fitness, " ", job.result->trained_tokens);
  return text;
}

}  // namespace espalier::testing
