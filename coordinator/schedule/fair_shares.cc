#include "coordinator/schedule/fair_shares.h"

#include <algorithm>
#include <optional>

namespace espalier {
namespace {

constexpr double kUsualTaskSeconds = 1;  // before a job's first task is done
constexpr double kNewestShare = 0.2;     // of a job's running mean

}  // namespace

void FairShares::SetContenders(const std::set<std::string>& job_ids) {
  std::optional<double> least;
  for (auto& [id, entry] : jobs_) {
    entry.is_contending = entry.is_contending && job_ids.contains(id);
    if (entry.is_contending) least = std::min(least.value_or(entry.served), entry.served);
  }
  for (const std::string& id : job_ids) {
    Entry& entry = jobs_[id];
    if (!entry.is_contending && least.has_value()) entry.served = std::max(entry.served, *least);
    entry.is_contending = true;
  }
}

double FairShares::ChargeLease(const std::string& job_id, double weight) {
  const double seconds = TaskSeconds(job_id);
  jobs_[job_id].served += seconds / weight;
  return seconds;
}

void FairShares::SettleLease(const std::string& job_id, double weight, double charged_seconds, double seconds,
                             bool is_complete) {
  const auto found = jobs_.find(job_id);
  if (found == jobs_.end()) return;
  Entry& entry = found->second;
  entry.served += (seconds - charged_seconds) / weight;
  if (!is_complete) return;
  const bool is_first = entry.task_seconds == 0;
  entry.task_seconds = is_first ? seconds : entry.task_seconds + kNewestShare * (seconds - entry.task_seconds);
}

double FairShares::Served(const std::string& job_id) const {
  const auto found = jobs_.find(job_id);
  return found == jobs_.end() ? 0 : found->second.served;
}

double FairShares::TaskSeconds(const std::string& job_id) const {
  const auto found = jobs_.find(job_id);
  return found == jobs_.end() || found->second.task_seconds <= 0 ? kUsualTaskSeconds : found->second.task_seconds;
}

}  // namespace espalier
