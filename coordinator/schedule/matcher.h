// Who gets what, and why. A pure function of the queues, the workers and the time.
//
// Rules, in this order. Jobs of higher priority go first. A job keeps to one numerics class, to workers with enough device
// memory and to its number of workers. A task that continues from a retained state goes to the worker that has it; while
// that worker is busy its first such task waits for it (not for ever), the others may be replayed elsewhere. Among jobs of
// one priority the one that was served least for its weight goes next. A task does not go back to a worker that failed it
// while another could take it. Of the tasks of one stage a worker gets those first whose masks it has trained before, and the
// worker with the fewest leases gets the next task. Layers of a bank and single units go in ascending runs, one run a worker, because a worker
// advances its hidden states layer by layer. Otherwise the queue's order holds.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "coordinator/schedule/attempt_log.h"
#include "coordinator/schedule/job_queue.h"
#include "coordinator/schedule/worker_table.h"

namespace espalier {

// What a worker must be for a job.
struct Requirements {
  DeviceKind device = DeviceKind::kCpu;
  std::string numerics_class;           // empty: any, the first grant decides
  int64_t device_memory = 0;            // bytes; 0: any
  bool is_memory_an_estimate = false;   // of the coordinator, not the user's word
  bool operator==(const Requirements&) const = default;
};

// A job with ready tasks.
struct JobDemand {
  std::string job_id;
  const JobQueue* queue = nullptr;
  const AttemptLog* attempts = nullptr;
  Requirements requirements;
  int priority = 0;
  double weight = 1;
  double served = 0;        // device-seconds for each unit of weight (fair_shares.h)
  double task_seconds = 1;  // what one more task will add, before weighting
  int max_workers = 0;      // 0: no limit
  std::set<std::string> workers;  // that hold leases of it; needed with max_workers only
  bool is_idle = true;      // none of its tasks is leased: it wants to know why
};

struct WorkerSlots {
  const WorkerEntry* worker = nullptr;
  int num_free = 0;
};

struct MatcherOptions {
  // How long a task may wait for the busy worker that retains its state.
  absl::Duration state_patience = absl::Seconds(30);
};

struct Assignment {
  std::string job_id;
  const Task* task = nullptr;
  std::string worker_id;
  std::string reason;  // in words, for the log
};

struct MatchResult {
  std::vector<Assignment> assignments;
  // Why nothing of an idle job could be given away, by job id.
  std::map<std::string, std::string> waiting;
};

// `jobs`: in order of creation. `free`: workers that wait and have a free slot, in a fixed order. `workers`: all; those that
// have been silent for longer than `silence` are absent.
MatchResult Match(absl::Time now, const std::vector<JobDemand>& jobs, const std::vector<WorkerSlots>& free,
                  const WorkerTable& workers, absl::Duration silence, const MatcherOptions& options);

}  // namespace espalier
