// Checks at the door: every error names the field, its value and what is possible.
#pragma once

#include "absl/status/status.h"
#include "common/domain/job.h"
#include "common/domain/job_inputs.h"
#include "common/domain/windows.h"

namespace espalier {

// That does not depend on the inputs: ranges, schedules, names of parts.
absl::Status CheckSpec(const JobSpec& spec);

// Windows that a token file needs in all, so that each pool holds what the schedule and the numbers that are set take of it.
int64_t WindowsNeeded(const JobSpec& spec);

// The schedule and the fixed numbers of a resolved specification against the pools of its token file. kInvalidArgument names
// the field that needs the longest file, what its pool has, and how many tokens are enough for all.
absl::Status CheckPools(const JobSpec& spec, int64_t num_windows);

}  // namespace espalier
