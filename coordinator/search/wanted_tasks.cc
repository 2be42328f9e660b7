#include "coordinator/search/wanted_tasks.h"

#include <algorithm>
#include <utility>

#include "common/base/check.h"

namespace espalier {

void WantedTasks::Add(Task task) {
  ESPALIER_CHECK(Find(task.task_id) == nullptr);
  tasks_.push_back(std::move(task));
}

void WantedTasks::Remove(const std::string& task_id) {
  tasks_.erase(std::remove_if(tasks_.begin(), tasks_.end(), [&](const Task& task) { return task.task_id == task_id; }),
               tasks_.end());
}

void WantedTasks::Clear() { tasks_.clear(); }

const Task* WantedTasks::Find(const std::string& task_id) const {
  for (const Task& task : tasks_) {
    if (task.task_id == task_id) return &task;
  }
  return nullptr;
}

}  // namespace espalier
