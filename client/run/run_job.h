// One job on this machine from specification to result folder: what `run` and `demo` do.
#pragma once

#include <cstdio>
#include <string>

#include "absl/status/statusor.h"
#include "client/result/run_report.h"
#include "espalier/v1/job.pb.h"

namespace espalier {

struct RunOptions {
  v1::JobSpec spec;
  std::string output;  // folder: model/, result.json, report.html
  std::string state;   // folder; empty: a temporary one
  int workers = 0;     // 0: one a core on a CPU, one on CUDA
  std::FILE* progress = stderr;
};

// kCancelled when interrupted; kAborted with the reason when the job failed. `output` is there whole or not at all
// (when it was not there before).
absl::StatusOr<RunReport> RunJob(const RunOptions& options);

}  // namespace espalier
