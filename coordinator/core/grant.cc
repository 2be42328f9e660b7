// What follows from every change: layers taken over from the bank, jobs that are done, leases for workers that wait.
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/domain/bank_key.h"
#include "common/wire/record.h"
#include "coordinator/core/enter.h"
#include "coordinator/core/result_json.h"

namespace espalier {

void Coordinator::DropUnwantedLeases(JobEntry& job) {
  std::vector<LeaseToken> unwanted;
  for (const Lease* lease : leases_.OfJob(job.record.job_id)) {
    const JobEntry::Queued* queued = job.FindQueued(lease->token.task_id);
    if (queued == nullptr || queued->input_digest != lease->input_digest) unwanted.push_back(lease->token);
  }
  for (const LeaseToken& token : unwanted) {
    const std::optional<Lease> lease = leases_.Remove(token);
    EndLease(*lease, AttemptEnd::kHandedBack, "the search wants it no longer");
    notices_.workers.insert(lease->worker_id);
  }
}

void Coordinator::TakeFromBanks(JobEntry& job, absl::Time now) {
  const std::vector<std::string> task_ids = job.queue_order;
  for (const std::string& task_id : task_ids) {
    JobEntry::Queued* queued = job.FindQueued(task_id);
    if (queued == nullptr || queued->is_bank_checked) continue;
    queued->is_bank_checked = true;
    const auto* task = std::get_if<BankLayerTask>(&queued->task.payload);
    if (task == nullptr || leases_.FindTask(job.record.job_id, task_id) != nullptr) continue;
    const std::string key = BankKey(BankKeyPartsOf(queued->task.context, task->calibration, task->calibration_windows,
                                                   job.inputs.dense.number_format));
    const auto found = parts_.store->FindBankLayer(key, task->layer);
    if (!found.ok()) {
      NoteStoreError("a bank layer", found.status());
      continue;
    }
    if (!found->has_value() || !parts_.artifacts->Size((*found)->artifact).ok()) continue;
    const absl::StatusOr<TaskOutcome> outcome = wire::ParseTaskOutcome((*found)->outcome);
    if (!outcome.ok() || !job.program->Check(task_id, *outcome).ok()) continue;
    EventRecord event;
    event.kind = EventKind::kOutcome;
    event.task_id = task_id;
    event.input_digest = queued->input_digest;
    event.payload = (*found)->outcome;
    const absl::Status status = CommitEvent(job, std::move(event), std::nullopt, now);
    if (!status.ok()) {
      NoteStoreError("a layer taken over from the bank", status);
      return;
    }
    parts_.observer->OnCommitted({parts_.store->epoch(), job.record.job_id, task_id, 0}, *outcome, absl::ZeroDuration());
  }
}

void Coordinator::GrantLeases(absl::Time now) {
  std::vector<WorkerSlots> slots;
  bool has_free = false;
  for (const auto& [id, worker] : workers_.all()) {
    if (!worker.is_waiting && now - worker.last_seen > parts_.options.lease_duration) continue;
    const int free = worker.is_waiting ? worker.description.slots - leases_.NumOfWorker(id) : 0;
    has_free = has_free || free > 0;
    slots.push_back({&worker, std::max(free, 0)});
  }
  std::vector<QueuedTask> queue;
  for (const std::string& id : job_order_) {
    const JobEntry& job = *jobs_.at(id);
    if (!job.is_active()) continue;
    for (const std::string& task_id : job.queue_order) {
      const JobEntry::Queued& queued = job.queue.at(task_id);
      if (leases_.FindTask(id, task_id) != nullptr) continue;
      queue.push_back({&queued.task, job.spec.device, job.record.numerics_class, job.attempts.FailedWorkers(task_id),
                       queued.wanted_since});
    }
  }
  if (queue.empty() || (!has_free && !slots.empty())) return;
  Grant(Match(now, queue, slots, parts_.options.matcher), queue, now);
}

void Coordinator::Grant(const MatchResult& match, const std::vector<QueuedTask>& queue, absl::Time now) {
  for (auto& [id, job] : jobs_) {
    const auto why = match.waiting.find(id);
    const std::string waiting_for = why == match.waiting.end() || !leases_.OfJob(id).empty() ? "" : why->second;
    if (job->waiting_for == waiting_for) continue;
    job->waiting_for = waiting_for;
    ++job->version;
    notices_.jobs.insert(id);
  }
  if (match.assignments.empty()) return;

  std::vector<AttemptRecord> attempts;
  for (const Assignment& assignment : match.assignments) {
    const Task& task = *queue[assignment.task].task;
    JobEntry& job = *jobs_.at(task.job_id);
    AttemptRecord& attempt = attempts.emplace_back();
    attempt.token = {parts_.store->epoch(), task.job_id, task.task_id, job.attempts.NextAttempt(task.task_id)};
    attempt.worker_id = assignment.worker_id;
    attempt.input_digest = job.queue.at(task.task_id).input_digest;
  }
  const absl::Status status = Timed([&] { return parts_.store->InsertAttempts(attempts); });
  if (!status.ok()) {
    NoteStoreError("new leases", status);
    return;  // tried again at the next tick
  }
  for (size_t i = 0; i < attempts.size(); ++i) {
    const absl::Status entered = EnterLease(attempts[i], queue[match.assignments[i].task], match.assignments[i].reason, now);
    if (entered.ok()) continue;
    NoteStoreError("a job's numerics class", entered);
    return;
  }
  for (auto& [id, job] : jobs_) {
    if (job->record.state != JobState::kQueued || leases_.OfJob(id).empty()) continue;
    const absl::Status running = ChangeState(*job, JobState::kRunning, "", now);
    if (!running.ok()) NoteStoreError("a running job", running);
  }
}

absl::Status Coordinator::EnterLease(const AttemptRecord& attempt, const QueuedTask& queued, const std::string& reason,
                                     absl::Time now) {
  JobEntry& job = *jobs_.at(attempt.token.job_id);
  WorkerEntry& worker = *workers_.Find(attempt.worker_id);
  if (job.record.numerics_class.empty()) {
    JobUpdate update;
    update.numerics_class = worker.description.numerics_class;
    ESPALIER_RETURN_IF_ERROR(parts_.store->UpdateJob(job.record.job_id, update));
    job.record.numerics_class = worker.description.numerics_class;
  }
  job.granted[attempt.token.task_id][attempt.token.attempt] = {attempt.token.epoch, attempt.worker_id,
                                                               attempt.input_digest};
  if (LayerOf(*queued.task) >= 0) worker.last_layer[RunOf(*queued.task)] = LayerOf(*queued.task);
  Lease lease;
  lease.token = attempt.token;
  lease.worker_id = attempt.worker_id;
  lease.input_digest = attempt.input_digest;
  lease.granted_at = now;
  lease.expires_at = now + parts_.options.lease_duration;
  leases_.Grant(std::move(lease));
  notices_.workers.insert(attempt.worker_id);
  notices_.jobs.insert(attempt.token.job_id);
  ++job.version;
  parts_.observer->OnLeaseGranted(attempt.token, attempt.worker_id, queued.task->kind(), reason,
                                  now - queued.wanted_since);
  return absl::OkStatus();
}

absl::Status Coordinator::StoreResult(JobEntry& job, absl::Time now) {
  const std::string text = ResultJson(job.record.job_id, job.spec, job.inputs, job.ladder, *job.program,
                                      absl::ToDoubleSeconds(job.Elapsed(now)), job.record.numerics_class);
  ESPALIER_ASSIGN_OR_RETURN(const std::string digest, parts_.artifacts->Put(text));
  JobUpdate update;
  update.result_artifact = digest;
  ESPALIER_RETURN_IF_ERROR(parts_.store->UpdateJob(job.record.job_id, update));
  job.record.result_artifact = digest;
  return absl::OkStatus();
}

void Coordinator::FinishIfDone(JobEntry& job, absl::Time now) {
  if (job.program == nullptr || !(job.program->finished() || job.program->failure().has_value())) return;
  absl::Status status;
  if (const std::optional<std::string> failure = job.program->failure()) {
    status = ChangeState(job, JobState::kFailed, *failure, now);
  } else {
    status = StoreResult(job, now);
    if (status.ok()) status = ChangeState(job, JobState::kSucceeded, "", now);
  }
  if (!status.ok()) NoteStoreError("the end of a job", status);  // tried again at the next tick
}

}  // namespace espalier
