// The workers that the coordinator knows. Pure: time is an argument.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "common/domain/synchronize.h"

namespace espalier {

struct WorkerEntry {
  std::string worker_id;
  WorkerDescription description;
  absl::Time last_seen;  // of its last call's end; while it waits, it is there
  bool is_draining = false;
  bool is_waiting = false;      // in a call that may be answered with a lease; see WorkerTable::SetWaiting
  bool is_quarantined = false;  // gets no leases (quarantine.h)
  int num_leases = 0;
  std::vector<RetainedState> states;  // see WorkerTable::SetStates
  // Digests of the masks that it trained last, the latest at the end: it may still hold their trainers with captured graphs.
  std::vector<std::string> trained_masks;
  // The last layer that it worked on, by (job, kind of task): it goes on from there with its hidden states.
  std::map<std::string, int> last_layer;
  int64_t committed_tasks = 0;
  int64_t failed_tasks = 0;
  int64_t peak_bytes = 0;  // of device memory, the most that an evaluation took there

  bool Retains(const StateKey& key) const;
  bool HasTrained(const std::string& mask_digest) const;
  void NoteTrained(const std::string& mask_digest);
  // Whether it called within `silence`, or is in a call.
  bool IsPresent(absl::Time now, absl::Duration silence) const { return is_waiting || now - last_seen <= silence; }
};

class WorkerTable {
 public:
  // Makes the entry when there is none.
  WorkerEntry& Note(const std::string& worker_id, absl::Time now);
  WorkerEntry* Find(const std::string& worker_id);
  const WorkerEntry* Find(const std::string& worker_id) const;
  void SetWaiting(WorkerEntry& worker, bool is_waiting);
  void SetNumLeases(WorkerEntry& worker, int num_leases);
  void SetQuarantined(WorkerEntry& worker, bool is_quarantined);
  void SetStates(WorkerEntry& worker, std::vector<RetainedState> states);
  void Remove(const std::string& worker_id);
  // Removes and returns the ids of workers that do not wait and were last seen at or before `now` - `memory`.
  std::vector<std::string> RemoveSilent(absl::Time now, absl::Duration memory);

  const std::map<std::string, WorkerEntry>& all() const { return workers_; }
  // Those that may be given a task now: they wait, have a free slot and are not in quarantine. In order of their ids.
  const std::set<std::string>& free() const { return free_; }
  // Workers that retain this state, in order of their ids.
  const std::set<std::string>& HoldersOf(const StateKey& key) const;

 private:
  void NoteFree(const WorkerEntry& worker);

  std::map<std::string, WorkerEntry> workers_;
  std::set<std::string> free_;
  std::map<StateKey, std::set<std::string>> holders_;
  absl::Time next_removal_ = absl::InfinitePast();  // nobody is due before
};

}  // namespace espalier
