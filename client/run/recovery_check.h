// Whether this machine can train what is left after a search, asked before `run` starts one: its coordinator knows no
// worker yet when it takes the job.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "espalier/v1/job.pb.h"

namespace espalier {

// kFailedPrecondition with the numbers (common/domain/device_memory.h). OK as well when they cannot be known: what is
// wrong with the job or its files, the coordinator says in its words. `num_workers` 0: the usual number.
absl::Status CheckRecoveryFitsHere(const v1::JobSpec& spec, int num_workers);

// Bytes of the largest of the first `num_devices` GPUs in what `espalier-worker devices` printed; nullopt: it names none.
std::optional<int64_t> LargestCudaDevice(const std::string& answer, int num_devices);

}  // namespace espalier
