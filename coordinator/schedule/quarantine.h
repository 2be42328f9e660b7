// Workers that keep failing tasks of which others are capable. Pure: time is an argument.
//
// Decisions. A failure counts against a worker only once another worker has done the same task: a task that fails
// everywhere says nothing about workers. Each task that a worker does takes one failure away. With `max_failures` counted
// failures it gets no leases for `term`, which doubles each time; a restarted worker has another id and starts afresh.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/time/time.h"

namespace espalier {

struct QuarantineOptions {
  int max_failures = 3;
  absl::Duration term = absl::Minutes(10);
  absl::Duration max_term = absl::Hours(2);
};

class Quarantine {
 public:
  explicit Quarantine(const QuarantineOptions& options) : options_(options) {}

  void NoteFailed(const std::string& worker_id, const std::string& job_id, const std::string& task_id,
                  const std::string& reason);
  // A worker has done a task that `failed_workers` failed. The ids of those that are quarantined by it.
  std::vector<std::string> NoteDone(absl::Time now, const std::string& worker_id, const std::string& job_id,
                                    const std::string& task_id, const std::set<std::string>& failed_workers);
  // Releases those whose term is over, and returns their ids.
  std::vector<std::string> Release(absl::Time now);
  void Forget(const std::string& worker_id) { workers_.erase(worker_id); }

  // InfinitePast for a worker that is not in quarantine.
  absl::Time Until(const std::string& worker_id) const;
  // What it failed and others did, most recent last; empty for a worker that is not in quarantine.
  std::vector<std::string> Reasons(const std::string& worker_id) const;

 private:
  struct Failure {
    std::string job_id;
    std::string task_id;
    std::string reason;
    std::string done_by;  // empty: by nobody yet
  };
  struct Entry {
    std::vector<Failure> failures;  // oldest first
    int num_terms = 0;
    absl::Time until = absl::InfinitePast();
  };
  std::map<std::string, Entry> workers_;  // that failed something
  QuarantineOptions options_;
};

}  // namespace espalier
