// What the core shows of jobs and workers: copies, made under its lock and then free of it.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "common/domain/synchronize.h"
#include "coordinator/core/search_health.h"
#include "coordinator/search/job_program.h"
#include "coordinator/store/job_store.h"

namespace espalier {

struct JobView {
  std::string job_id;
  JobSpec spec;
  JobState state = JobState::kQueued;
  std::string failure;
  JobProgress progress;
  int tasks_running = 0;
  double tokens_per_second = 0;
  absl::Duration elapsed;
  std::vector<GenerationView> generations;  // not in lists
  std::optional<JobResult> result;          // not in lists
  Ladder ladder;                            // not in lists
  JobInputs inputs;                         // not in lists
  JobPreview preview;                       // not in lists
  absl::Time create_time;
  std::string numerics_class;
  std::vector<std::string> failed_tasks;
  std::string waiting_for;  // why nothing of it can be given away
  std::string result_artifact;
  int64_t version = 0;  // rises with every change
};

struct WorkerActivity {
  LeaseToken token;
  TaskProgress progress;
};

struct WorkerView {
  std::string worker_id;
  WorkerDescription description;
  bool is_draining = false;
  bool is_lost = false;
  std::vector<WorkerActivity> activities;
  absl::Duration silence;
  int64_t committed_tasks = 0;
  int64_t failed_tasks = 0;
  int64_t retained_bytes = 0;
  int64_t peak_bytes = 0;  // of device memory, the most that an evaluation took; 0 on a CPU
  std::vector<std::string> quarantine_reasons;  // empty: it is not in quarantine
  absl::Duration quarantine_left;
};

// Numbers for metrics.
struct CoordinatorSnapshot {
  int64_t epoch = 0;
  std::map<JobState, int> jobs;
  struct RunningJob {
    std::string job_id;
    JobProgress progress;
    int tasks_queued = 0;
    int tasks_leased = 0;
    SearchHealth health;
    int64_t planned_evaluations = 0;  // JobPreview's
    // Time of its leases that are over, since this coordinator began.
    double useful_slot_seconds = 0;
    double wasted_slot_seconds = 0;
  };
  std::vector<RunningJob> running;
  int64_t log_records = 0;  // events committed so far
  int workers_idle = 0;
  int workers_busy = 0;
  int workers_draining = 0;
  int workers_quarantined = 0;
  int workers_lost = 0;     // silent for longer than a lease, and not forgotten yet
  int workers_waiting = 0;  // calls that wait for something to do
  std::map<std::string, int> workers_by_version;
  std::vector<absl::Duration> silences;  // of workers that are there, since their last call; ascending
  int slots = 0;
  int slots_taken = 0;
  absl::Status store_health;
};

}  // namespace espalier
