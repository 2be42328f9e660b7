// What the commands' exit codes mean; printed at the end of --help.
#pragma once

#include <string>

#include "absl/status/status.h"

namespace espalier {

enum ExitCode {
  kExitOk = 0,
  kExitInternal = 1,
  kExitUsage = 2,
  kExitBadInput = 3,
  kExitUnreachable = 4,
  kExitJobFailed = 5,
  kExitResources = 6,
  kExitInterrupted = 130,
};

inline constexpr char kExitCodesHelp[] =
    "Exit codes: 0 done, 1 internal error, 2 usage, 3 bad input (file, field or name), 4 coordinator not reachable or "
    "access refused, 5 the job failed or was cancelled, 6 out of disk, memory or quota, 130 interrupted.";

// kCancelled is an interruption, kAborted a job that failed, kUnavailable a coordinator that is not there.
int ExitCodeOf(const absl::Status& status);

// One line on standard error, "espalier: MESSAGE", and the exit code.
int Fail(const absl::Status& status);

}  // namespace espalier
