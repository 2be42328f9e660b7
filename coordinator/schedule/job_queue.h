// The tasks of one job that may be leased now, in order of urgency. Pure; kept up to date task by task, because a job may
// have thousands.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>

#include "absl/time/time.h"
#include "common/domain/task.h"

namespace espalier {

struct ReadyTask {
  const Task* task = nullptr;  // outlives its place in the queue
  absl::Time wanted_since;
};

class JobQueue {
 public:
  // `position`: its rank in the order of urgency, least first; nothing else is there.
  void Put(int64_t position, const ReadyTask& task);
  void Remove(int64_t position);  // no-op when nothing is there
  void Clear();

  const std::map<int64_t, ReadyTask>& ready() const { return ready_; }
  bool empty() const { return ready_.empty(); }
  // Positions of the tasks that continue from this state.
  const std::set<int64_t>& ResumingFrom(const StateKey& state) const;

 private:
  std::map<int64_t, ReadyTask> ready_;
  std::map<StateKey, std::set<int64_t>> by_state_;
};

// The retained state that a task continues from; nullptr when it starts from the bank.
const StateKey* ResumeOf(const Task& task);

// The layer that a task is about and the run it belongs to; -1 for tasks without one.
int LayerOf(const Task& task);
std::string RunOf(const Task& task);

}  // namespace espalier
