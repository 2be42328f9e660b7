// What the core does at its start: everything comes back from the store.
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/wire/record.h"
#include "coordinator/core/enter.h"

namespace espalier {

absl::Status Coordinator::Restore(absl::Time now) {
  now_ = now;
  ESPALIER_ASSIGN_OR_RETURN(std::vector<JobRecord> records, parts_.store->LoadJobs());
  for (JobRecord& record : records) ESPALIER_RETURN_IF_ERROR(RestoreJob(std::move(record), now));
  ESPALIER_ASSIGN_OR_RETURN(deleted_requests_, parts_.store->LoadDeletedRequests());
  ESPALIER_RETURN_IF_ERROR(RestoreRates());
  Settle(now);
  return absl::OkStatus();
}

absl::Status Coordinator::RestoreJob(JobRecord record, absl::Time now) {
  const std::string job_id = record.job_id;
  absl::StatusOr<std::unique_ptr<JobEntry>> entry = JobEntry::Make(std::move(record), parts_.programs);
  if (!entry.ok()) {
    return absl::Status(entry.status().code(), absl::StrCat("job '", job_id, "': ", entry.status().message()));
  }
  JobEntry& job = **entry;
  const auto enter = [&] {  // when all of it has been read
    job_order_.push_back(job_id);
    jobs_[job_id] = *std::move(entry);
    return absl::OkStatus();
  };
  if (IsFinal(job.record.state)) return enter();  // its program is made when somebody asks

  if (const absl::Status status = job.EnsureProgram(*parts_.store); !status.ok()) {
    if (job.replay_error.empty()) return status;  // the store could not be read: no reason to call the job failed
    // Of another version's making: kept as it is in the store, shown as failed, not run.
    job.record.state = JobState::kFailed;
    job.record.failure = absl::StrCat(status.message());
    parts_.observer->OnJobState(job_id, JobState::kFailed, job.record.failure);
    return enter();
  }
  job.RefreshQueue(now);
  ESPALIER_ASSIGN_OR_RETURN(const std::vector<AttemptRecord> attempts, parts_.store->LoadAttempts(job_id));
  const absl::Status entered = enter();
  RestoreAttempts(job, attempts, now);
  if (job.record.state == JobState::kRunning) job.StartClock(now);
  return entered;
}

// Of each kind of device from the newest job that measured something on one: an older one may be of another fleet.
absl::Status Coordinator::RestoreRates() {
  for (auto id = job_order_.rbegin(); id != job_order_.rend(); ++id) {
    const JobEntry& job = *jobs_.at(*id);
    if (const auto known = rates_.find(job.spec.device); known != rates_.end() && known->second.num_evaluations > 0) continue;
    ESPALIER_ASSIGN_OR_RETURN(const std::vector<EventRecord> events, parts_.store->LoadEvents(*id, 0));
    for (const EventRecord& event : events) {
      if (event.kind != EventKind::kOutcome || event.attempt == 0) continue;
      if (const auto outcome = wire::ParseTaskOutcome(event.payload); outcome.ok()) NoteWork(job, *outcome);
    }
  }
  return absl::OkStatus();
}

void Coordinator::RestoreAttempts(JobEntry& job, const std::vector<AttemptRecord>& attempts, absl::Time now) {
  for (const AttemptRecord& attempt : attempts) {
    const std::string& task_id = attempt.token.task_id;
    job.attempts.NoteGranted(task_id, attempt.token.attempt);
    job.granted[task_id][attempt.token.attempt] = {attempt.token.epoch, attempt.worker_id, attempt.input_digest};
    if (job.told.contains(task_id)) continue;
    if (attempt.end == AttemptEnd::kFailed) job.attempts.NoteFailed(task_id, attempt.worker_id, attempt.reason);
    if (attempt.end == AttemptEnd::kExpired) job.attempts.NoteExpired(task_id, attempt.worker_id, attempt.reason);
    if (attempt.end != AttemptEnd::kOpen) continue;
    const JobEntry::Queued* queued = job.FindQueued(task_id);
    const bool is_wanted = job.is_active() && queued != nullptr && queued->input_digest == attempt.input_digest;
    if (!is_wanted) continue;
    // The end of an earlier one was not stored: the newest is the one that somebody may be working on.
    if (const Lease* older = leases_.FindTask(job.record.job_id, task_id)) {
      NoteLeaseOver(*leases_.Remove(LeaseToken(older->token)), AttemptEnd::kExpired);
    }
    Lease lease;
    lease.token = attempt.token;
    lease.worker_id = attempt.worker_id;
    lease.input_digest = attempt.input_digest;
    lease.granted_at = now;
    lease.expires_at = now + parts_.options.lease_duration;  // one fresh term, whatever was left of the old one
    lease.is_held = true;  // only its worker knows; it is not offered again
    AddLease(std::move(lease));
  }
}

}  // namespace espalier
