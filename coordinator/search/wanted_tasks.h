// The tasks that a part of the program waits for, in order of urgency.
#pragma once

#include <string>
#include <vector>

#include "common/domain/task.h"

namespace espalier {

class WantedTasks {
 public:
  void Add(Task task);
  void Remove(const std::string& task_id);
  void Clear();
  const Task* Find(const std::string& task_id) const;  // nullptr when not wanted
  bool empty() const { return tasks_.empty(); }
  int size() const { return static_cast<int>(tasks_.size()); }
  const std::vector<Task>& tasks() const { return tasks_; }

 private:
  std::vector<Task> tasks_;
};

}  // namespace espalier
