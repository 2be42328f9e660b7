// How much memory a device must have at the least for a job, so that a job that fits none is refused before its search
// is paid for. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "common/domain/job.h"

namespace espalier {

// The job's sizes: of the dense model, and the target's share of it (of its cost, which stands in for parameters).
struct JobSize {
  int64_t dense_parameters = 0;
  double share = 1;
};

struct MemoryNeed {
  int64_t bytes = 0;
  bool is_estimate = true;  // false: the job's minimum_device_memory
  std::string basis;        // where an estimate comes from, for people
};

// Less does not do in any mode: the dense model in the device's format and, of a candidate of the target's size, weights,
// gradients and moments in their leanest formats. Activations and buffers come on top, so a worker may refuse what fits by
// this. The job's minimum_device_memory, when it has one, stands in for the estimate.
MemoryNeed LeastMemory(const JobSpec& spec, const JobSize& size);

// kFailedPrecondition with both numbers and what to do, when the job has recovery tokens and no device has the memory.
// `largest`: bytes of the largest device of the job's kind; nullopt: unknown, and then nothing is refused. `whose`:
// "the largest worker known".
absl::Status CheckRecoveryFits(const JobSpec& spec, const JobSize& size, std::optional<int64_t> largest,
                               const std::string& whose);

std::string MemoryText(int64_t bytes);  // "40.0 GB", "24.3 MB"

// The same as a warning, for jobs that may wait for a larger device; empty: it fits, or nothing is known.
std::string WarnOfMemory(const JobSpec& spec, const JobSize& size, std::optional<int64_t> largest, const std::string& whose);

}  // namespace espalier
