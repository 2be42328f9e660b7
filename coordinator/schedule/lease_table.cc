#include "coordinator/schedule/lease_table.h"

#include <algorithm>

#include "common/base/check.h"

namespace espalier {

void LeaseTable::Grant(Lease lease) {
  TaskKey key{lease.token.job_id, lease.token.task_id};
  const bool is_new = leases_.emplace(std::move(key), std::move(lease)).second;
  ESPALIER_CHECK(is_new);
}

const Lease* LeaseTable::FindTask(const std::string& job_id, const std::string& task_id) const {
  const auto found = leases_.find({job_id, task_id});
  return found == leases_.end() ? nullptr : &found->second;
}

const Lease* LeaseTable::Find(const LeaseToken& token) const {
  const Lease* lease = FindTask(token.job_id, token.task_id);
  return lease != nullptr && lease->token == token ? lease : nullptr;
}

void LeaseTable::Renew(const LeaseToken& token, absl::Time expires_at, const TaskProgress& progress) {
  const auto found = leases_.find({token.job_id, token.task_id});
  if (found == leases_.end() || found->second.token != token) return;
  found->second.expires_at = expires_at;
  found->second.is_held = true;
  found->second.progress = progress;
}

void LeaseTable::RenewAllOf(const std::string& worker_id, absl::Time expires_at) {
  for (auto& [key, lease] : leases_) {
    if (lease.worker_id == worker_id) lease.expires_at = expires_at;
  }
}

std::optional<Lease> LeaseTable::Remove(const LeaseToken& token) {
  const auto found = leases_.find({token.job_id, token.task_id});
  if (found == leases_.end() || found->second.token != token) return std::nullopt;
  Lease lease = std::move(found->second);
  leases_.erase(found);
  return lease;
}

template <typename Predicate>
std::vector<Lease> LeaseTable::RemoveIf(const Predicate& predicate) {
  std::vector<Lease> removed;
  for (auto at = leases_.begin(); at != leases_.end();) {
    if (predicate(at->second)) {
      removed.push_back(std::move(at->second));
      at = leases_.erase(at);
    } else {
      ++at;
    }
  }
  return removed;
}

std::vector<Lease> LeaseTable::RemoveWorker(const std::string& worker_id) {
  return RemoveIf([&](const Lease& lease) { return lease.worker_id == worker_id; });
}

std::vector<Lease> LeaseTable::RemoveJob(const std::string& job_id) {
  return RemoveIf([&](const Lease& lease) { return lease.token.job_id == job_id; });
}

std::vector<Lease> LeaseTable::Expire(absl::Time now) {
  std::vector<Lease> expired = RemoveIf([&](const Lease& lease) { return lease.expires_at <= now; });
  std::stable_sort(expired.begin(), expired.end(),
                   [](const Lease& a, const Lease& b) { return a.expires_at < b.expires_at; });
  return expired;
}

std::vector<const Lease*> LeaseTable::OfWorker(const std::string& worker_id) const {
  std::vector<const Lease*> found;
  for (const auto& [key, lease] : leases_) {
    if (lease.worker_id == worker_id) found.push_back(&lease);
  }
  return found;
}

std::vector<const Lease*> LeaseTable::OfJob(const std::string& job_id) const {
  std::vector<const Lease*> found;
  for (auto at = leases_.lower_bound({job_id, ""}); at != leases_.end() && at->first.first == job_id; ++at) {
    found.push_back(&at->second);
  }
  return found;
}

int LeaseTable::NumOfWorker(const std::string& worker_id) const {
  return static_cast<int>(
      std::count_if(leases_.begin(), leases_.end(), [&](const auto& item) { return item.second.worker_id == worker_id; }));
}

absl::Time LeaseTable::next_expiry() const {
  absl::Time next = absl::InfiniteFuture();
  for (const auto& [key, lease] : leases_) next = std::min(next, lease.expires_at);
  return next;
}

}  // namespace espalier
