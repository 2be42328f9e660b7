#include "coordinator/core/commit_group.h"

namespace espalier {

bool CommitGroup::IsOpenFor(const std::string& job_id, const std::string& task_id) const {
  const auto found = by_job_.find(job_id);
  return found == by_job_.end() || (!found->second.is_closed && !found->second.tasks.contains(task_id));
}

void CommitGroup::Add(Member member) {
  const EventRecord& event = member.commit.event;
  OfJob& of_job = by_job_[event.job_id];
  of_job.tasks.insert(event.task_id);
  // As if all of them were of the same part, which is the least that can be left of this one.
  of_job.is_closed = static_cast<int>(of_job.tasks.size()) >= member.job->program->NumLeft(event.task_id);
  members_.push_back(std::move(member));
}

std::vector<CommitGroup::Member> CommitGroup::TakeAll() {
  by_job_.clear();
  return std::exchange(members_, {});
}

}  // namespace espalier
