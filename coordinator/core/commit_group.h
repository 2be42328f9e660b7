// Outcomes that are committed in one transaction: those that are reported at about the same time and have no bearing on
// each other. Confined to the coordinator's lock.
//
// Decisions. What an outcome is worth must not depend on those that are committed with it and told before it. Of what a
// part of a job's program waits for, all outcomes but the last only take their own task out of what is wanted
// (JobProgram::NumLeft). The last one may come along as well; after it the group is closed for its job.
#pragma once

#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "coordinator/core/job_entry.h"

namespace espalier {

// A finished attempt as it was reported, and what is answered: nothing while the store refuses it.
struct Report {
  size_t call = 0;  // among the calls that are handled together
  const std::string* worker_id = nullptr;
  const FinishedAttempt* finished = nullptr;
  std::optional<Verdict> verdict;
};

class CommitGroup {
 public:
  struct Member {
    JobEntry* job = nullptr;
    Report* report = nullptr;
    EventCommit commit;
    std::set<std::string> failed_workers;  // that failed the task before
  };

  // Whether an outcome of this task can be judged now, before those in the group are committed.
  bool IsOpenFor(const std::string& job_id, const std::string& task_id) const;
  // Of a task that the program wants, once an outcome.
  void Add(Member member);
  bool empty() const { return members_.empty(); }
  // In the order of adding; empty and open for all afterwards.
  std::vector<Member> TakeAll();

 private:
  struct OfJob {
    std::set<std::string> tasks;
    bool is_closed = false;
  };
  std::vector<Member> members_;
  std::map<std::string, OfJob> by_job_;
};

}  // namespace espalier
