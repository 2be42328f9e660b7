#pragma once

#include <string>

#include "absl/time/time.h"
#include "coordinator/core/page_snapshots.h"

namespace espalier {

inline constexpr int kJobsOnPage = 50;

// All jobs, newest first; `page` from 0.
std::string JobsPage(const JobsSnapshot& jobs, const CoordinatorSnapshot& coordinator, int page, absl::Time now);

}  // namespace espalier
