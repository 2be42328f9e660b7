// Jobs with queues and workers, as the matcher sees them.
#pragma once

#include <deque>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "coordinator/schedule/matcher.h"
#include "tests/support/catch.h"

namespace espalier::testing {

inline const absl::Time kNow = absl::UnixEpoch() + absl::Hours(1);

class Scene {
 public:
  // One that waits, with so many free slots; 0: it is busy.
  WorkerEntry& AddWorker(const std::string& id, int num_free) {
    WorkerEntry& worker = workers.Note(id, kNow);
    worker.description.numerics_class = "class A";
    worker.description.slots = num_free;
    workers.SetWaiting(worker, num_free > 0);
    return worker;
  }
  JobDemand& Job(const std::string& id) {
    for (JobDemand& job : jobs_) {
      if (job.job_id == id) return job;
    }
    JobDemand& job = jobs_.emplace_back();
    job.job_id = id;
    job.queue = &queues_[id];
    job.attempts = &attempts[id];
    return job;
  }
  void Add(const std::string& job, const std::string& id, decltype(Task::payload) payload) {
    Job(job);
    Task& task = tasks_.emplace_back();
    task.job_id = job;
    task.task_id = id;
    task.payload = std::move(payload);
    queues_[job].Put(static_cast<int64_t>(tasks_.size()), {&task, kNow});
  }
  void AddMany(const std::string& job, int count) {
    for (int i = 0; i < count; ++i) Add(job, absl::StrCat(job, i), EvaluateTask{});
  }
  MatchResult Run(absl::Time now) {
    std::vector<WorkerSlots> free;
    for (const std::string& id : workers.free()) free.push_back({workers.Find(id), workers.Find(id)->description.slots});
    return Match(now, {jobs_.begin(), jobs_.end()}, free, workers, absl::Minutes(5), {});
  }
  // "task:worker" in the order of giving.
  static std::vector<std::string> Pairs(const MatchResult& result) {
    std::vector<std::string> pairs;
    for (const Assignment& given : result.assignments) {
      pairs.push_back(absl::StrCat(given.task->task_id, ":", given.worker_id));
    }
    return pairs;
  }
  // How many tasks each job got.
  static std::map<std::string, int> Counts(const MatchResult& result) {
    std::map<std::string, int> counts;
    for (const Assignment& given : result.assignments) ++counts[given.job_id];
    return counts;
  }

  WorkerTable workers;
  std::map<std::string, AttemptLog> attempts;  // by job

 private:
  std::deque<Task> tasks_;
  std::map<std::string, JobQueue> queues_;
  std::deque<JobDemand> jobs_;
};

}  // namespace espalier::testing
