// Who gets what, and why. A pure function of the queue, the workers and the time.
//
// Rules, in this order. A job keeps to one numerics class. A task that continues from a retained state goes to the worker
// that has it; while that worker is busy its first such task waits for it (not for ever), the others may be replayed
// elsewhere. A task does not go back to a worker that failed it while another could take it. Layers of a bank and single
// units go in ascending runs, one run a worker, because a worker advances its hidden states layer by layer. Otherwise the
// queue's order holds.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "common/domain/task.h"
#include "coordinator/schedule/worker_table.h"

namespace espalier {

struct QueuedTask {
  const Task* task = nullptr;
  DeviceKind device = DeviceKind::kCpu;
  std::string numerics_class;  // of the job; empty: any, the first grant decides
  std::set<std::string> failed_workers;
  absl::Time wanted_since;
};

struct WorkerSlots {
  const WorkerEntry* worker = nullptr;
  int num_free = 0;  // 0 for workers that are not waiting, too
};

struct MatcherOptions {
  // How long a task may wait for the busy worker that retains its state.
  absl::Duration state_patience = absl::Seconds(30);
};

struct Assignment {
  int task = 0;  // index in the queue
  std::string worker_id;
  std::string reason;  // in words, for the log
};

struct MatchResult {
  std::vector<Assignment> assignments;
  // Why nothing of a job could be given away, by job id; only jobs with queued tasks.
  std::map<std::string, std::string> waiting;
};

// `queue`: most urgent first. `workers`: all that are alive, in a fixed order.
MatchResult Match(absl::Time now, const std::vector<QueuedTask>& queue, const std::vector<WorkerSlots>& workers,
                  const MatcherOptions& options);

// The layer that a task is about and the run it belongs to; -1 for tasks without one.
int LayerOf(const Task& task);
std::string RunOf(const Task& task);

}  // namespace espalier
