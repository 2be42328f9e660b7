#pragma once

#include <string>

#include "absl/time/time.h"
#include "coordinator/core/page_snapshots.h"

namespace espalier {

std::string CandidatePage(const CandidateSnapshot& snapshot, absl::Time now);

}  // namespace espalier
