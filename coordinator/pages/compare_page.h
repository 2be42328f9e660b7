#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "coordinator/core/page_snapshots.h"

namespace espalier {

// A job with its best mask, or one candidate of it.
struct Compared {
  std::string text;    // as the reader named it: JOB or JOB/CANDIDATE
  std::string error;   // why there is nothing
  std::optional<JobView> job;
  std::optional<CandidateView> candidate;
};

// `job_ids`: what the form offers.
std::string ComparePage(const Compared& a, const Compared& b, const std::vector<std::string>& job_ids, absl::Time now);

}  // namespace espalier
