// After a write that was reported as failed. It may have gone through all the same, so what the store has is looked up
// before anything else is decided: the programs must be told every event, in the order of the store.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/wire/record.h"
#include "coordinator/core/enter.h"

namespace espalier {

void Coordinator::CatchUp(absl::Time now) {
  if (const absl::Status status = ReadUncertainJobs(now); !status.ok()) {
    NoteStoreError("jobs that may have been stored", status);
  }
  EndStrays();
  for (auto& [id, job] : jobs_) {
    if (!job->is_behind || job->program == nullptr) continue;
    const absl::Status status = TellMissed(*job, now);
    if (!status.ok()) NoteStoreError("events that may have been stored", status);
  }
}

// Jobs whose making or change of state was reported as failed: what the store has is what holds.
absl::Status Coordinator::ReadUncertainJobs(absl::Time now) {
  const bool is_any_state_uncertain =
      std::any_of(jobs_.begin(), jobs_.end(), [](const auto& item) { return item.second->is_state_uncertain; });
  if (!has_uncertain_jobs_ && !is_any_state_uncertain) return absl::OkStatus();
  ESPALIER_ASSIGN_OR_RETURN(std::vector<JobRecord> records, parts_.store->LoadJobs());
  for (JobRecord& record : records) {
    const auto known = jobs_.find(record.job_id);
    if (known == jobs_.end()) {
      notices_.jobs.insert(record.job_id);
      ESPALIER_RETURN_IF_ERROR(RestoreJob(std::move(record), now));
    } else if (known->second->is_state_uncertain) {
      EnterState(*known->second, record.state, record.failure, now);
    }
  }
  has_uncertain_jobs_ = false;
  return absl::OkStatus();
}

// Attempts that were perhaps stored and never given to anybody.
void Coordinator::EndStrays() {
  std::erase_if(strays_, [&](const LeaseToken& token) {
    const absl::Status status =
        parts_.store->EndAttempt(token, AttemptEnd::kHandedBack, "its lease was never given to its worker");
    return status.ok() || absl::IsNotFound(status);
  });
}

absl::Status Coordinator::TellMissed(JobEntry& job, absl::Time now) {
  const std::string& job_id = job.record.job_id;
  job.is_behind = true;
  ESPALIER_ASSIGN_OR_RETURN(const std::vector<EventRecord> missed, parts_.store->LoadEvents(job_id, job.last_sequence));
  job.is_behind = false;
  job.may_have_unwanted_leases = true;
  for (const EventRecord& event : missed) {
    notices_.jobs.insert(job_id);
    if (const absl::Status status = job.Apply(event, now); !status.ok()) {
      return ChangeState(job, JobState::kFailed, absl::StrCat("the search cannot go on: ", status.message()), now);
    }
    if (event.kind != EventKind::kOutcome) continue;
    LeaseToken token = {parts_.store->epoch(), job_id, event.task_id, event.attempt};
    if (const JobEntry::Granted* granted = job.FindGranted(event.task_id, event.attempt)) token.epoch = granted->epoch;
    absl::Duration ran = absl::ZeroDuration();
    if (const std::optional<Lease> lease = leases_.Remove(token)) {
      ran = now - lease->granted_at;
      NoteLeaseOver(*lease, AttemptEnd::kCommitted);
    }
    if (const auto outcome = wire::ParseTaskOutcome(event.payload); outcome.ok()) {
      parts_.observer->OnCommitted(token, *outcome, ran);
    }
  }
  return absl::OkStatus();
}

}  // namespace espalier
