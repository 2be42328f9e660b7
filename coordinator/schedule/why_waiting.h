// Whether a worker is what a job needs, and in words why none is. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/time/time.h"
#include "coordinator/schedule/matcher.h"

namespace espalier {

// A worker that does not say its memory is taken at its device's word.
bool Fits(const Requirements& requirements, const WorkerDescription& worker);

// Bytes of the largest worker of this kind that is known. nullopt: none is known, or one does not say its memory.
std::optional<int64_t> LargestMemory(const WorkerTable& workers, DeviceKind device);

// "waiting for a worker with at least 40.0 GB of device memory: ..."
std::string WhyWaiting(absl::Time now, const Requirements& requirements, const WorkerTable& workers,
                       absl::Duration silence);

}  // namespace espalier
