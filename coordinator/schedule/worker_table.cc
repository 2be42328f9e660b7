#include "coordinator/schedule/worker_table.h"

#include <algorithm>
#include <utility>

namespace espalier {
namespace {

constexpr size_t kMostTrainedMasks = 20;  // as many as an engine keeps trainers of (worker/engine/warm_trainers.h)

}  // namespace

bool WorkerEntry::Retains(const StateKey& key) const {
  return std::any_of(states.begin(), states.end(), [&](const RetainedState& state) { return state.key == key; });
}

bool WorkerEntry::HasTrained(const std::string& mask_digest) const {
  return std::find(trained_masks.begin(), trained_masks.end(), mask_digest) != trained_masks.end();
}

void WorkerEntry::NoteTrained(const std::string& mask_digest) {
  std::erase(trained_masks, mask_digest);
  trained_masks.push_back(mask_digest);
  if (trained_masks.size() > kMostTrainedMasks) trained_masks.erase(trained_masks.begin());
}

WorkerEntry& WorkerTable::Note(const std::string& worker_id, absl::Time now) {
  WorkerEntry& worker = workers_[worker_id];
  worker.worker_id = worker_id;
  worker.last_seen = now;
  return worker;
}

WorkerEntry* WorkerTable::Find(const std::string& worker_id) {
  const auto found = workers_.find(worker_id);
  return found == workers_.end() ? nullptr : &found->second;
}

const WorkerEntry* WorkerTable::Find(const std::string& worker_id) const {
  const auto found = workers_.find(worker_id);
  return found == workers_.end() ? nullptr : &found->second;
}

void WorkerTable::NoteFree(const WorkerEntry& worker) {
  if (worker.is_waiting && !worker.is_quarantined && worker.num_leases < worker.description.slots) {
    free_.insert(worker.worker_id);
  } else {
    free_.erase(worker.worker_id);
  }
}

void WorkerTable::SetWaiting(WorkerEntry& worker, bool is_waiting) {
  worker.is_waiting = is_waiting;
  NoteFree(worker);
}

void WorkerTable::SetNumLeases(WorkerEntry& worker, int num_leases) {
  worker.num_leases = num_leases;
  NoteFree(worker);
}

void WorkerTable::SetQuarantined(WorkerEntry& worker, bool is_quarantined) {
  worker.is_quarantined = is_quarantined;
  NoteFree(worker);
}

void WorkerTable::SetStates(WorkerEntry& worker, std::vector<RetainedState> states) {
  for (const RetainedState& state : worker.states) {
    const auto found = holders_.find(state.key);
    if (found == holders_.end()) continue;  // listed twice
    found->second.erase(worker.worker_id);
    if (found->second.empty()) holders_.erase(found);
  }
  worker.states = std::move(states);
  for (const RetainedState& state : worker.states) holders_[state.key].insert(worker.worker_id);
}

void WorkerTable::Remove(const std::string& worker_id) {
  const auto found = workers_.find(worker_id);
  if (found == workers_.end()) return;
  SetStates(found->second, {});
  free_.erase(worker_id);
  workers_.erase(found);
}

std::vector<std::string> WorkerTable::RemoveSilent(absl::Time now, absl::Duration memory) {
  if (now < next_removal_) return {};
  std::vector<std::string> removed;
  // Whoever calls or joins from now on is due later than this.
  next_removal_ = now + memory;
  for (const auto& [id, worker] : workers_) {
    if (worker.is_waiting) continue;
    if (worker.last_seen <= now - memory) {
      removed.push_back(id);
    } else {
      next_removal_ = std::min(next_removal_, worker.last_seen + memory);
    }
  }
  for (const std::string& id : removed) Remove(id);
  return removed;
}

const std::set<std::string>& WorkerTable::HoldersOf(const StateKey& key) const {
  static const std::set<std::string> kNone;
  const auto found = holders_.find(key);
  return found == holders_.end() ? kNone : found->second;
}

}  // namespace espalier
