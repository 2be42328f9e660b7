// One measurement: a coordinator, jobs, a fleet; steady load, then the coordinator killed and started again.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "bench/coordinator_load/coordinator_process.h"

namespace espalier::load {

struct LoadOptions {
  std::string coordinator;  // the program
  std::string model;        // a checkpoint's folder
  std::string tokens;       // a .npy file
  std::string state;        // an empty folder; a temporary one when not given
  int num_workers = 1000;
  int num_jobs = 10;
  double busy_share = 0.9;  // tasks of a generation of all jobs, of the workers
  double task_seconds = 10;
  double warm_up_seconds = 20;
  double seconds = 30;
  bool with_restart = true;
};

struct Latencies {
  int64_t count = 0;
  double p50 = 0, p95 = 0, p99 = 0, most = 0;  // seconds
};

struct LoadResult {
  LoadOptions options;
  double seconds = 0;  // measured
  Latencies answered;
  Latencies parked;
  int64_t failed_calls = 0;
  double commits_per_second = 0;
  double grants_per_second = 0;
  int busy_workers = 0;
  ProcessUsage coordinator;  // CPU time within the measured seconds; memory at their end
  ProcessUsage fleet;
  double load_average = 0;  // of the machine, over the last minute
  int cores = 0;
  // After SIGKILL, counted from it.
  int tasks_at_kill = 0;            // held by workers
  int64_t tasks_stopped = 0;        // of them, dropped because the coordinator did not want them back
  double ready_seconds = 0;         // the coordinator answers
  double resynchronised_seconds = 0;  // every worker has had an answer
  double first_commit_seconds = 0;
};

absl::StatusOr<LoadResult> RunLoad(const LoadOptions& options);

}  // namespace espalier::load
