// The workers that the coordinator knows. Pure: time is an argument.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "common/domain/synchronize.h"

namespace espalier {

struct WorkerEntry {
  std::string worker_id;
  WorkerDescription description;
  absl::Time last_seen;
  bool is_draining = false;
  bool is_waiting = false;  // in a call that may be answered with a lease
  std::vector<RetainedState> states;
  // The last layer that it worked on, by (job, kind of task): it goes on from there with its hidden states.
  std::map<std::string, int> last_layer;
  int64_t committed_tasks = 0;
  int64_t failed_tasks = 0;

  bool Retains(const StateKey& key) const;
};

class WorkerTable {
 public:
  // Makes the entry when there is none.
  WorkerEntry& Note(const std::string& worker_id, absl::Time now);
  WorkerEntry* Find(const std::string& worker_id);
  const WorkerEntry* Find(const std::string& worker_id) const;
  void Remove(const std::string& worker_id) { workers_.erase(worker_id); }
  // Removes and returns the ids of workers that were last seen at or before `before`.
  std::vector<std::string> RemoveSilent(absl::Time before);

  const std::map<std::string, WorkerEntry>& all() const { return workers_; }
  std::map<std::string, WorkerEntry>& all() { return workers_; }

 private:
  std::map<std::string, WorkerEntry> workers_;
};

}  // namespace espalier
