// Whether a worker is what a job needs, and in words why none is. Pure.
#pragma once

#include <string>

#include "absl/time/time.h"
#include "coordinator/schedule/matcher.h"

namespace espalier {

// A worker that does not say its memory is taken at its device's word.
bool Fits(const Requirements& requirements, const WorkerDescription& worker);

// "waiting for a worker with at least 40.0 GB of device memory: ..."
std::string WhyWaiting(absl::Time now, const Requirements& requirements, const WorkerTable& workers,
                       absl::Duration silence);

}  // namespace espalier
