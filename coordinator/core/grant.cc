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
  if (!std::exchange(job.may_have_unwanted_leases, false)) return;
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
  if (!std::exchange(job.has_unchecked_banks, false)) return;
  std::map<int64_t, std::string> unchecked;  // by position; commits below change the queue
  for (const auto& [task_id, queued] : job.queue) {
    if (!queued.is_bank_checked) unchecked[queued.position] = task_id;
  }
  for (const auto& [position, task_id] : unchecked) {
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
    absl::StatusOr<TaskOutcome> outcome = wire::ParseTaskOutcome((*found)->outcome);
    if (!outcome.ok() || !job.program->Check(task_id, *outcome).ok()) continue;
    std::get<BankLayerOutcome>(*outcome).seconds = 0;  // this job spent none on it
    EventRecord event;
    event.kind = EventKind::kOutcome;
    event.task_id = task_id;
    event.input_digest = queued->input_digest;
    event.payload = wire::Serialize(*outcome);
    const absl::Status status = CommitEvent(job, std::move(event), std::nullopt, now);
    if (!status.ok()) {
      NoteStoreError("a layer taken over from the bank", status);
      job.has_unchecked_banks = true;  // the others the next time
      return;
    }
    parts_.observer->OnCommitted({parts_.store->epoch(), job.record.job_id, task_id, 0}, *outcome, absl::ZeroDuration());
  }
}

std::vector<JobDemand> Coordinator::Demands() {
  std::vector<JobDemand> demands;
  std::set<std::string> contenders;
  for (const std::string& id : job_order_) {
    JobEntry& job = *jobs_.at(id);
    if (!job.is_active() || (job.ready.empty() && job.leased.empty())) continue;
    contenders.insert(id);
    if (job.ready.empty() || job.is_behind || job.is_state_uncertain) continue;
    JobDemand& demand = demands.emplace_back();
    demand.job_id = id;
    demand.queue = &job.ready;
    demand.attempts = &job.attempts;
    demand.requirements = job.WorkerRequirements();
    demand.priority = job.spec.priority;
    demand.weight = job.spec.weight;
    demand.max_workers = job.spec.max_workers;
    if (demand.max_workers > 0) demand.workers = leases_.WorkersOfJob(id);
    demand.is_idle = job.leased.empty();
  }
  shares_.SetContenders(contenders);
  for (JobDemand& demand : demands) {
    demand.served = shares_.Served(demand.job_id);
    demand.task_seconds = shares_.TaskSeconds(demand.job_id);
  }
  return demands;
}

std::vector<WorkerSlots> Coordinator::FreeSlots() const {
  std::vector<WorkerSlots> slots;
  for (const std::string& id : workers_.free()) {
    const WorkerEntry& worker = *workers_.Find(id);
    slots.push_back({&worker, worker.description.slots - worker.num_leases});
  }
  return slots;
}

void Coordinator::GrantLeases(absl::Time now) {
  const std::vector<JobDemand> demands = Demands();
  MatchResult match;
  if (!demands.empty()) {
    match = Match(now, demands, FreeSlots(), workers_, parts_.options.lease_duration, parts_.options.matcher);
  }
  NoteWaiting(match);
  if (!match.assignments.empty()) Grant(match, now);
}

void Coordinator::NoteWaiting(const MatchResult& match) {
  for (auto& [id, job] : jobs_) {
    if (!job->is_active()) continue;
    const auto why = match.waiting.find(id);
    const std::string waiting_for = why == match.waiting.end() ? "" : why->second;
    if (job->waiting_for == waiting_for) continue;
    job->waiting_for = waiting_for;
    ++job->version;
    notices_.jobs.insert(id);
  }
}

void Coordinator::Grant(const MatchResult& match, absl::Time now) {
  if (const absl::Status pinned = PinNumericsClasses(match); !pinned.ok()) {
    NoteStoreError("a job's numerics class", pinned);
    return;  // tried again at the next tick
  }
  std::vector<AttemptRecord> attempts;
  for (const Assignment& assignment : match.assignments) {
    JobEntry& job = *jobs_.at(assignment.job_id);
    const std::string& task_id = assignment.task->task_id;
    AttemptRecord& attempt = attempts.emplace_back();
    attempt.token = {parts_.store->epoch(), assignment.job_id, task_id, job.attempts.NextAttempt(task_id)};
    attempt.worker_id = assignment.worker_id;
    attempt.input_digest = job.queue.at(task_id).input_digest;
  }
  const absl::Status status = Timed([&] { return parts_.store->InsertAttempts(attempts); });
  if (!status.ok()) {
    NoteStoreError("new leases", status);
    for (const AttemptRecord& attempt : attempts) strays_.push_back(attempt.token);
    return;  // tried again at the next tick
  }
  for (size_t i = 0; i < attempts.size(); ++i) {
    EnterLease(attempts[i], match.assignments[i], now);
  }
  for (auto& [id, job] : jobs_) {
    if (job->record.state != JobState::kQueued || job->leased.empty()) continue;
    const absl::Status running = ChangeState(*job, JobState::kRunning, "", now);
    if (!running.ok()) NoteStoreError("a running job", running);
  }
}

// Before its first leases, so that a restart between the two cannot find leases of one class and pin another.
absl::Status Coordinator::PinNumericsClasses(const MatchResult& match) {
  for (const Assignment& assignment : match.assignments) {
    ESPALIER_RETURN_IF_ERROR(PinNumericsClass(*jobs_.at(assignment.job_id), ClassOf(assignment.worker_id)));
  }
  return absl::OkStatus();
}

const std::string& Coordinator::ClassOf(const std::string& worker_id) const {
  return workers_.Find(worker_id)->description.numerics_class;
}

absl::Status Coordinator::PinNumericsClass(JobEntry& job, const std::string& numerics_class) {
  if (job.record.numerics_class == numerics_class && !job.is_class_uncertain) return absl::OkStatus();
  JobUpdate update;
  update.numerics_class = numerics_class;
  const absl::Status status = Timed([&] { return parts_.store->UpdateJob(job.record.job_id, update); });
  job.is_class_uncertain = !status.ok();
  if (status.ok()) job.record.numerics_class = numerics_class;
  return status;
}

void Coordinator::EnterLease(const AttemptRecord& attempt, const Assignment& assignment, absl::Time now) {
  JobEntry& job = *jobs_.at(attempt.token.job_id);
  WorkerEntry& worker = *workers_.Find(attempt.worker_id);
  job.granted[attempt.token.task_id][attempt.token.attempt] = {attempt.token.epoch, attempt.worker_id,
                                                               attempt.input_digest};
  const Task& task = *assignment.task;
  if (LayerOf(task) >= 0) worker.last_layer[RunOf(task)] = LayerOf(task);
  const auto* evaluate = std::get_if<EvaluateTask>(&task.payload);
  if (evaluate != nullptr && evaluate->stream.end > 0) worker.NoteTrained(evaluate->mask_digest);
  Lease lease;
  lease.token = attempt.token;
  lease.worker_id = attempt.worker_id;
  lease.input_digest = attempt.input_digest;
  lease.granted_at = now;
  lease.expires_at = now + parts_.options.lease_duration;
  AddLease(std::move(lease));
  notices_.workers.insert(attempt.worker_id);
  notices_.jobs.insert(attempt.token.job_id);
  ++job.version;
  parts_.observer->OnLeaseGranted(attempt.token, attempt.worker_id, task.kind(), assignment.reason,
                                  now - job.queue.at(task.task_id).wanted_since);
}

absl::Status Coordinator::StoreResult(JobEntry& job, absl::Time now) {
  const std::string text = ResultJson(job.record.job_id, job.spec, job.inputs, job.ladder, *job.program,
                                      absl::ToDoubleSeconds(job.Elapsed(now)), job.stage_times.sums(), job.record.numerics_class);
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
