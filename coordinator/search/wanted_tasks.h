// The tasks that a part of the program waits for, in order of urgency.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <unordered_map>

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
  const std::map<int64_t, Task>& tasks() const { return tasks_; }  // by order of adding
  // Rises when tasks come, or go otherwise than by Remove.
  int64_t revision() const { return revision_; }

 private:
  std::map<int64_t, Task> tasks_;
  std::unordered_map<std::string, int64_t> places_;
  int64_t revision_ = 0;
};

}  // namespace espalier
