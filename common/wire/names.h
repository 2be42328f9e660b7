// Resource names: jobs/{job}, jobs/{job}/candidates/{candidate}, workers/{worker}.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace espalier::wire {

std::string JobName(const std::string& job_id);
std::string WorkerName(const std::string& worker_id);
// A candidate's id ("p0/g3/c05") with '-' for '/'.
std::string CandidateName(const std::string& job_id, const std::string& candidate_id);

// kInvalidArgument quotes the name and shows the pattern.
absl::StatusOr<std::string> ParseJobName(const std::string& name);
struct CandidatePath {
  std::string job_id;
  std::string candidate;  // with '-' for '/'
};
absl::StatusOr<CandidatePath> ParseCandidateName(const std::string& name);

// Letters, digits and hyphens, at most 63, beginning with a letter, not ending with a hyphen.
absl::Status CheckJobId(const std::string& job_id);

}  // namespace espalier::wire
