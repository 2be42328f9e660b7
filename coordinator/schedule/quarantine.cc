#include "coordinator/schedule/quarantine.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace espalier {
namespace {

constexpr size_t kMaxFailures = 32;  // that are remembered of one worker
constexpr int kMaxDoublings = 16;

}  // namespace

void Quarantine::NoteFailed(const std::string& worker_id, const std::string& job_id, const std::string& task_id,
                            const std::string& reason) {
  std::vector<Failure>& failures = workers_[worker_id].failures;
  // The same task twice counts once.
  std::erase_if(failures, [&](const Failure& known) { return known.job_id == job_id && known.task_id == task_id; });
  failures.push_back({job_id, task_id, reason, ""});
  if (failures.size() > kMaxFailures) failures.erase(failures.begin());
}

std::vector<std::string> Quarantine::NoteDone(absl::Time now, const std::string& worker_id, const std::string& job_id,
                                              const std::string& task_id,
                                              const std::set<std::string>& failed_workers) {
  if (const auto own = workers_.find(worker_id); own != workers_.end() && own->second.until <= now) {
    std::vector<Failure>& failures = own->second.failures;
    std::erase_if(failures, [&](const Failure& known) { return known.job_id == job_id && known.task_id == task_id; });
    if (!failures.empty()) failures.erase(failures.begin());
  }
  std::vector<std::string> quarantined;
  for (const std::string& failed : failed_workers) {
    const auto found = workers_.find(failed);
    if (failed == worker_id || found == workers_.end()) continue;
    Entry& entry = found->second;
    int num_counted = 0;
    for (Failure& failure : entry.failures) {
      if (failure.job_id == job_id && failure.task_id == task_id) failure.done_by = worker_id;
      num_counted += failure.done_by.empty() ? 0 : 1;
    }
    if (num_counted < options_.max_failures || entry.until > now) continue;
    const int doublings = std::min(entry.num_terms++, kMaxDoublings);
    entry.until = now + std::min(options_.term * (int64_t{1} << doublings), options_.max_term);
    quarantined.push_back(failed);
  }
  return quarantined;
}

std::vector<std::string> Quarantine::Release(absl::Time now) {
  std::vector<std::string> released;
  for (auto& [id, entry] : workers_) {
    if (entry.until == absl::InfinitePast() || entry.until > now) continue;
    entry.until = absl::InfinitePast();
    entry.failures.clear();
    released.push_back(id);
  }
  return released;
}

absl::Time Quarantine::Until(const std::string& worker_id) const {
  const auto found = workers_.find(worker_id);
  return found == workers_.end() ? absl::InfinitePast() : found->second.until;
}

std::vector<std::string> Quarantine::Reasons(const std::string& worker_id) const {
  std::vector<std::string> reasons;
  const auto found = workers_.find(worker_id);
  if (found == workers_.end() || found->second.until == absl::InfinitePast()) return reasons;
  for (const Failure& failure : found->second.failures) {
    if (failure.done_by.empty()) continue;
    reasons.push_back(absl::StrCat("jobs/", failure.job_id, " task ", failure.task_id, ": ", failure.reason,
                                   " (worker ", failure.done_by, " did it)"));
  }
  return reasons;
}

}  // namespace espalier
