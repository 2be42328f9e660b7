#include "coordinator/schedule/lease_table.h"

#include <tuple>
#include <utility>

#include "common/base/check.h"

namespace espalier {

bool LeaseTable::ByTask::operator()(const Lease* a, const Lease* b) const {
  return std::tie(a->token.job_id, a->token.task_id) < std::tie(b->token.job_id, b->token.task_id);
}

bool LeaseTable::ByExpiry::operator()(const Lease* a, const Lease* b) const {
  return std::tie(a->expires_at, a->token.job_id, a->token.task_id) <
         std::tie(b->expires_at, b->token.job_id, b->token.task_id);
}

void LeaseTable::Grant(Lease lease) {
  TaskKey key{lease.token.job_id, lease.token.task_id};
  const auto [at, is_new] = leases_.emplace(std::move(key), std::move(lease));
  ESPALIER_CHECK(is_new);
  by_worker_[at->second.worker_id].insert(&at->second);
  by_expiry_.insert(&at->second);
}

void LeaseTable::SetExpiry(Lease& lease, absl::Time expires_at) {
  if (lease.expires_at == expires_at) return;
  by_expiry_.erase(&lease);
  lease.expires_at = expires_at;
  by_expiry_.insert(&lease);
}

Lease LeaseTable::Take(std::map<TaskKey, Lease>::iterator at) {
  Lease* lease = &at->second;
  by_expiry_.erase(lease);
  const auto of_worker = by_worker_.find(lease->worker_id);
  of_worker->second.erase(lease);
  if (of_worker->second.empty()) by_worker_.erase(of_worker);
  Lease taken = std::move(*lease);
  leases_.erase(at);
  return taken;
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
  SetExpiry(found->second, expires_at);
  found->second.is_held = true;
  found->second.progress = progress;
}

void LeaseTable::NoteMoved(const LeaseToken& token, absl::Time now) {
  const auto found = leases_.find({token.job_id, token.task_id});
  if (found != leases_.end() && found->second.token == token) found->second.moved_at = now;
}

void LeaseTable::RenewAllOf(const std::string& worker_id, absl::Time expires_at) {
  const auto found = by_worker_.find(worker_id);
  if (found == by_worker_.end()) return;
  for (Lease* lease : found->second) SetExpiry(*lease, expires_at);
}

std::optional<Lease> LeaseTable::Remove(const LeaseToken& token) {
  const auto found = leases_.find({token.job_id, token.task_id});
  if (found == leases_.end() || found->second.token != token) return std::nullopt;
  return Take(found);
}

std::vector<Lease> LeaseTable::RemoveWorker(const std::string& worker_id) {
  std::vector<Lease> removed;
  for (const Lease* lease : OfWorker(worker_id)) {
    removed.push_back(Take(leases_.find({lease->token.job_id, lease->token.task_id})));
  }
  return removed;
}

std::vector<Lease> LeaseTable::RemoveJob(const std::string& job_id) {
  std::vector<Lease> removed;
  for (auto at = leases_.lower_bound({job_id, ""}); at != leases_.end() && at->first.first == job_id;) {
    removed.push_back(Take(at++));
  }
  return removed;
}

std::vector<Lease> LeaseTable::Expire(absl::Time now) {
  std::vector<Lease> expired;
  while (!by_expiry_.empty() && (*by_expiry_.begin())->expires_at <= now) {
    const Lease* lease = *by_expiry_.begin();
    expired.push_back(Take(leases_.find({lease->token.job_id, lease->token.task_id})));
  }
  return expired;
}

std::vector<const Lease*> LeaseTable::OfWorker(const std::string& worker_id) const {
  const auto found = by_worker_.find(worker_id);
  if (found == by_worker_.end()) return {};
  return {found->second.begin(), found->second.end()};
}

std::vector<const Lease*> LeaseTable::OfJob(const std::string& job_id) const {
  std::vector<const Lease*> found;
  for (auto at = leases_.lower_bound({job_id, ""}); at != leases_.end() && at->first.first == job_id; ++at) {
    found.push_back(&at->second);
  }
  return found;
}

int LeaseTable::NumOfWorker(const std::string& worker_id) const {
  const auto found = by_worker_.find(worker_id);
  return found == by_worker_.end() ? 0 : static_cast<int>(found->second.size());
}

std::set<std::string> LeaseTable::WorkersOfJob(const std::string& job_id) const {
  std::set<std::string> workers;
  for (const Lease* lease : OfJob(job_id)) workers.insert(lease->worker_id);
  return workers;
}

absl::Time LeaseTable::next_expiry() const {
  return by_expiry_.empty() ? absl::InfiniteFuture() : (*by_expiry_.begin())->expires_at;
}

}  // namespace espalier
