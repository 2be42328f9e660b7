// Knows everything: what was written, told, granted and computed; and says which invariant (I1 to I20,
// docs/reliability.md) is broken. It follows the durable log with a search of its own, so that the coordinator's can be
// compared with it.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "common/domain/synchronize.h"
#include "coordinator/core/coordinator.h"
#include "coordinator/store/job_store.h"
#include "tests/simulation/context.h"
#include "tests/simulation/job_catalog.h"
#include "tests/simulation/medium.h"

namespace espalier::simulation {

class Ledger {
 public:
  Ledger(Context& context, Medium& medium, SimulatedArtifacts& artifacts)
      : context_(context), medium_(medium), artifacts_(artifacts) {}

  // A job that a client is about to submit.
  void ExpectJob(const std::string& request_id, int catalog_index);

  // What went into the store, whatever its caller was told.
  void OnEpoch(int64_t epoch);
  void OnJobInserted(const JobRecord& job);
  void OnJobUpdated(const std::string& job_id, const JobUpdate& update);
  void OnJobDeleted(const std::string& job_id);
  void OnAttempts(const std::vector<AttemptRecord>& attempts);
  void OnAttemptEnded(const LeaseToken& token, AttemptEnd end, const std::string& reason);
  void OnCollected(const std::string& digest);
  void OnCommit(const EventRecord& event);

  // What coordinators answered.
  void OnCreated(const std::string& request_id, const std::string& job_id);
  void OnCancelled(const std::string& job_id);
  void OnPaused(const std::string& job_id);
  void OnResumeUnderWay(const std::string& job_id, int change);  // calls that may still arrive
  void OnDeleted(const std::string& job_id);
  // A former leader may offer again what it had granted before it was one.
  void OnAnswer(const std::string& worker_id, const WorkerDescription& worker, const SynchronizeResponse& response,
                bool is_of_leader);
  void OnWait(absl::Duration wait, absl::Duration lease);

  // What workers did.
  void OnComputed(const std::string& worker_id, const Task& task) {
    computed_.insert({worker_id, task.job_id, task.task_id});
  }
  void OnForged(const std::string& worker_id, const LeaseToken& token) { forged_.insert({worker_id, token}); }

  // After a step of the leading coordinator. `is_settled`: nothing of it failed, so that it must know what the store
  // has.
  void Check(Coordinator& core, absl::Time local_now, bool is_settled);
  // The medium against all that ever went in; after every restart and at the end.
  void CheckMedium();
  void CheckEnd(Coordinator& core, absl::Time local_now);

  bool AllJobsFinal() const;
  bool WasCancelled(const std::string& job_id) const;
  const CatalogJob* CatalogOf(const std::string& job_id) const;
  // Whether a candidate that kills workers is in this task.
  bool IsPoison(const Task& task) const;
  int64_t num_commits() const { return num_commits_; }
  int64_t num_outcomes() const { return num_outcomes_; }
  int64_t num_attempts() const { return num_attempts_; }
  int64_t num_expired() const { return num_expired_; }
  int64_t num_stuck() const { return num_stuck_; }
  int64_t num_collected() const { return num_collected_; }
  int64_t num_class_changes() const { return num_class_changes_; }
  // The result of a job that has ended, while it can still be read.
  void CheckFinished(const std::string& job_id, Coordinator& core, absl::Time local_now);
  int num_results() const { return num_results_; }
  int64_t max_epoch() const { return max_epoch_; }

 private:
  struct Job {
    std::string request_id;
    const CatalogJob* catalog = nullptr;
    JobState state = JobState::kQueued;  // durable
    std::string numerics_class;
    bool is_deleted = false;
    bool is_cancel_acknowledged = false;
    bool is_pause_acknowledged = false;
    int resumes_under_way = 0;
    std::unique_ptr<JobProgram> program;  // told the log as it becomes durable
    std::map<std::string, Task> wanted;   // by it, now
    std::map<std::string, std::map<int, AttemptRecord>> attempts;
    bool has_outcome = false;  // of an attempt of its own
    std::map<std::string, int> committed;  // task -> attempt; -1: given up
    std::vector<EventRecord> events;
    std::set<std::string> given_up;
    bool is_result_checked = false;
    std::set<std::string> artifacts;  // of the bank as it is
    std::string result_artifact;
    size_t num_generations = 0;
    double best_fitness = 0;
  };

  Job* Find(const std::string& job_id);
  static bool RefersTo(const Job& job, const std::string& digest);
  void Follow(const std::string& job_id, Job& job, const EventRecord& event);
  void CheckOutcomeEvent(Job& job, const EventRecord& event);
  void CheckMask(const Job& job, const Task& task);
  void CheckGenerations(const std::string& job_id, Job& job);
  void CheckRunning(const CoordinatorSnapshot& snapshot);
  void CheckResult(const std::string& job_id, const Job& job, Coordinator& core, absl::Time local_now);

  Context& context_;
  Medium& medium_;
  SimulatedArtifacts& artifacts_;
  std::map<std::string, int> expected_;            // request id -> catalog index
  std::map<std::string, std::string> by_request_;  // request id -> job id
  std::map<std::string, Job> jobs_;
  std::set<std::tuple<std::string, std::string, std::string>> computed_;  // worker, job, task
  std::set<std::pair<std::string, LeaseToken>> forged_;
  std::map<std::string, std::string> classes_;  // of workers, by id
  int64_t max_epoch_ = 0;
  int64_t num_commits_ = 0;
  int64_t num_outcomes_ = 0;
  int64_t num_attempts_ = 0;
  int64_t num_expired_ = 0;
  int64_t num_stuck_ = 0;
  int64_t num_collected_ = 0;
  int64_t num_class_changes_ = 0;
  int num_results_ = 0;
};

}  // namespace espalier::simulation
