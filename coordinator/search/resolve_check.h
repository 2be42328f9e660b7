// Checks at the door: every error names the field, its value and what is possible.
#pragma once

#include "absl/status/status.h"
#include "common/domain/job.h"
#include "common/domain/job_inputs.h"
#include "common/domain/windows.h"

namespace espalier {

// That does not depend on the inputs: ranges, schedules, names of parts.
absl::Status CheckSpec(const JobSpec& spec);

// kInvalidArgument when the pool cannot give `tokens` tokens in whole windows: says what it has and how many tokens the
// file needs. `field` is named with its value.
absl::Status CheckPoolHolds(const std::string& field, int64_t tokens, Pool pool, int64_t num_windows,
                            const JobSpec& spec);

// The schedule and the fixed numbers of a resolved specification against the pools of its token file.
absl::Status CheckPools(const JobSpec& spec, int64_t num_windows);

}  // namespace espalier
