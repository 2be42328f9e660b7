#include "coordinator/schedule/worker_table.h"

#include <algorithm>

namespace espalier {

bool WorkerEntry::Retains(const StateKey& key) const {
  return std::any_of(states.begin(), states.end(), [&](const RetainedState& state) { return state.key == key; });
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

std::vector<std::string> WorkerTable::RemoveSilent(absl::Time before) {
  std::vector<std::string> removed;
  for (auto at = workers_.begin(); at != workers_.end();) {
    if (at->second.last_seen <= before) {
      removed.push_back(at->first);
      at = workers_.erase(at);
    } else {
      ++at;
    }
  }
  return removed;
}

}  // namespace espalier
