// What became of the attempts at each task of a job, and when a task is given up. Pure.
//
// Decisions. Expired is not failed: a worker that vanished says nothing about the task, unless it happens again and again.
// So failures that workers reported count against max_attempts, and vanished workers against twice as many. Handed-back
// attempts count for nothing.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace espalier {

class AttemptLog {
 public:
  // Numbers the attempts at a task from 1.
  int NextAttempt(const std::string& task_id);
  // After a restart: attempts up to this one were granted.
  void NoteGranted(const std::string& task_id, int attempt);

  void NoteFailed(const std::string& task_id, const std::string& worker_id, const std::string& reason);
  void NoteExpired(const std::string& task_id, const std::string& worker_id, const std::string& reason);

  // Why the attempts so far came to nothing, each with its worker, in one text.
  std::string Reasons(const std::string& task_id) const;
  // All reasons in one text when the task is to be given up.
  std::optional<std::string> GiveUp(const std::string& task_id, int max_attempts) const;

  // Workers that reported a failure of this task; another one is preferred.
  const std::set<std::string>& FailedWorkers(const std::string& task_id) const;

  void Forget(const std::string& task_id);  // committed or given up; its numbering stays

 private:
  struct Entry {
    int granted = 0;
    int expired = 0;
    int failed = 0;
    std::set<std::string> failed_workers;
    std::vector<std::string> reasons;
  };
  std::map<std::string, Entry> entries_;
};

}  // namespace espalier
