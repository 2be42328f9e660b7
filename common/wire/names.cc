#include "common/wire/names.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace espalier::wire {
namespace {

constexpr char kJobs[] = "jobs/";
constexpr char kCandidates[] = "/candidates/";

absl::Status BadName(const std::string& name, const char* pattern) {
  return absl::InvalidArgumentError(absl::StrCat("name: '", name, "' is not of the form ", pattern));
}

bool IsLetter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool IsDigit(char c) { return c >= '0' && c <= '9'; }

}  // namespace

std::string JobName(const std::string& job_id) { return absl::StrCat(kJobs, job_id); }
std::string WorkerName(const std::string& worker_id) { return absl::StrCat("workers/", worker_id); }

std::string CandidateName(const std::string& job_id, const std::string& candidate_id) {
  std::string candidate = candidate_id;
  std::replace(candidate.begin(), candidate.end(), '/', '-');
  return absl::StrCat(kJobs, job_id, kCandidates, candidate);
}

absl::StatusOr<std::string> ParseJobName(const std::string& name) {
  constexpr char kPattern[] = "jobs/{job}";
  if (name.rfind(kJobs, 0) != 0) return BadName(name, kPattern);
  std::string job_id = name.substr(sizeof(kJobs) - 1);
  if (!CheckJobId(job_id).ok()) return BadName(name, kPattern);
  return job_id;
}

absl::StatusOr<CandidatePath> ParseCandidateName(const std::string& name) {
  constexpr char kPattern[] = "jobs/{job}/candidates/{candidate}";
  const size_t middle = name.find(kCandidates);
  if (middle == std::string::npos) return BadName(name, kPattern);
  const absl::StatusOr<std::string> job_id = ParseJobName(name.substr(0, middle));
  const std::string candidate = name.substr(middle + sizeof(kCandidates) - 1);
  if (!job_id.ok() || candidate.empty() || candidate.find('/') != std::string::npos) return BadName(name, kPattern);
  return CandidatePath{*job_id, candidate};
}

absl::Status CheckJobId(const std::string& job_id) {
  const bool has_only_legal = std::all_of(job_id.begin(), job_id.end(),
                                          [](char c) { return IsLetter(c) || IsDigit(c) || c == '-'; });
  if (!job_id.empty() && job_id.size() <= 63 && has_only_legal && IsLetter(job_id.front()) && job_id.back() != '-') {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "job_id: '", job_id.substr(0, 80),
      "' is not 1 to 63 letters, digits and hyphens, beginning with a letter and not ending with a hyphen"));
}

}  // namespace espalier::wire
