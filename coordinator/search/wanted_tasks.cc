#include "coordinator/search/wanted_tasks.h"

#include <utility>

#include "common/base/check.h"

namespace espalier {

void WantedTasks::Add(Task task) {
  const bool is_new = places_.emplace(task.task_id, ++revision_).second;
  ESPALIER_CHECK(is_new);
  tasks_.emplace(revision_, std::move(task));
}

void WantedTasks::Remove(const std::string& task_id) {
  const auto found = places_.find(task_id);
  if (found == places_.end()) return;
  tasks_.erase(found->second);
  places_.erase(found);
}

void WantedTasks::Clear() {
  tasks_.clear();
  places_.clear();
  ++revision_;
}

const Task* WantedTasks::Find(const std::string& task_id) const {
  const auto found = places_.find(task_id);
  return found == places_.end() ? nullptr : &tasks_.at(found->second);
}

}  // namespace espalier
