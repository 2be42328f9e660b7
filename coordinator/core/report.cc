// What becomes of the attempts that workers report, and of leases that end.
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/domain/bank_key.h"
#include "common/wire/record.h"
#include "coordinator/core/enter.h"

namespace espalier {
namespace {

Verdict MakeVerdict(const LeaseToken& token, Decision decision, std::string reason) {
  return Verdict{token, decision, std::move(reason)};
}

// Failures that no other attempt can mend: the job's inputs or its specification are wrong.
bool IsHopeless(const absl::Status& status) { return status.code() == absl::StatusCode::kInvalidArgument; }

}  // namespace

void Coordinator::EndLease(const Lease& lease, AttemptEnd end, const std::string& reason) {
  const absl::Status status = Timed([&] { return parts_.store->EndAttempt(lease.token, end, reason); });
  // Not durable means: after a restart the lease gets a fresh term and ends again.
  if (!status.ok()) NoteStoreError("the end of a lease", status);
  NoteLeaseOver(lease, false);
  parts_.observer->OnLeaseEnded(lease.token, lease.worker_id, end, reason);
}

void Coordinator::AddLease(Lease lease) {
  JobEntry& job = *jobs_.at(lease.token.job_id);
  lease.charged_seconds = shares_.ChargeLease(lease.token.job_id, job.spec.weight);
  job.SetLeased(lease.token.task_id, true);
  const std::string worker_id = lease.worker_id;
  leases_.Grant(std::move(lease));
  if (WorkerEntry* worker = workers_.Find(worker_id)) workers_.SetNumLeases(*worker, leases_.NumOfWorker(worker_id));
}

void Coordinator::NoteLeaseOver(const Lease& lease, bool is_complete) {
  if (WorkerEntry* worker = workers_.Find(lease.worker_id)) {
    workers_.SetNumLeases(*worker, leases_.NumOfWorker(lease.worker_id));
  }
  parts_.observer->OnLeaseOver(now_ - lease.granted_at, is_complete);
  const auto found = jobs_.find(lease.token.job_id);
  if (found == jobs_.end()) return;
  JobEntry& job = *found->second;
  job.SetLeased(lease.token.task_id, false);
  shares_.SettleLease(lease.token.job_id, job.spec.weight, lease.charged_seconds,
                      absl::ToDoubleSeconds(now_ - lease.granted_at), is_complete);
}

void Coordinator::NoteDone(const std::string& worker_id, const LeaseToken& token,
                           const std::set<std::string>& failed_workers, absl::Time now) {
  for (const std::string& id : quarantine_.NoteDone(now, worker_id, token.job_id, token.task_id, failed_workers)) {
    if (WorkerEntry* worker = workers_.Find(id)) workers_.SetQuarantined(*worker, true);
    parts_.observer->OnWorkerQuarantined(id, quarantine_.Until(id) - now, quarantine_.Reasons(id));
  }
}

void Coordinator::NoteExpired(const Lease& lease, const std::string& reason, absl::Time now) {
  EndLease(lease, AttemptEnd::kExpired, reason);
  const auto found = jobs_.find(lease.token.job_id);
  if (found == jobs_.end()) return;
  JobEntry& job = *found->second;
  ++job.version;
  notices_.jobs.insert(lease.token.job_id);
  job.attempts.NoteExpired(lease.token.task_id, lease.worker_id, reason);
  GiveUpIfDue(job, lease.token.task_id, now);
}

void Coordinator::GiveUpIfDue(JobEntry& job, const std::string& task_id, absl::Time now) {
  const std::optional<std::string> why = job.attempts.GiveUp(task_id, job.spec.max_attempts);
  if (!why.has_value() || job.FindQueued(task_id) == nullptr) return;
  EventRecord event;
  event.kind = EventKind::kTaskFailed;
  event.task_id = task_id;
  event.reason = *why;
  const absl::Status status = CommitEvent(job, std::move(event), std::nullopt, now);
  if (status.ok()) {
    parts_.observer->OnTaskGivenUp(job.record.job_id, task_id, *why);
  } else {
    NoteStoreError("a task that is given up", status);
  }
}

absl::Status Coordinator::CommitEvent(JobEntry& job, EventRecord event, const std::optional<BankLayerRecord>& bank,
                                      absl::Time now) {
  if (job.is_behind) return absl::UnavailableError("an earlier event may be stored and is not known yet");
  event.job_id = job.record.job_id;
  event.elapsed_seconds = absl::ToDoubleSeconds(job.Elapsed(now));
  absl::StatusOr<int64_t> sequence = Timed([&] { return parts_.store->Commit(event, bank); });
  notices_.jobs.insert(event.job_id);
  if (sequence.status().code() == absl::StatusCode::kAlreadyExists) {
    return TellMissed(job, now);  // by a write that was reported as failed
  }
  if (!sequence.ok()) {
    job.is_behind = true;
    return sequence.status();
  }
  event.sequence = *sequence;
  const absl::Status applied = job.Apply(event, now);
  if (const std::optional<absl::Duration> took = std::exchange(job.ended_generation, std::nullopt)) {
    parts_.observer->OnGenerationEnded(job.record.job_id, *took);
  }
  if (applied.ok()) return applied;
  // It was checked before it was committed, so this is a defect; the job must not hang.
  return ChangeState(job, JobState::kFailed, absl::StrCat("the search cannot go on: ", applied.message()), now);
}

absl::Status Coordinator::CommitOutcome(JobEntry& job, const LeaseToken& token, const std::string& input_digest,
                                        const TaskOutcome& outcome, absl::Time now) {
  const JobEntry::Queued* queued = job.FindQueued(token.task_id);
  std::optional<BankLayerRecord> bank;
  const std::string payload = wire::Serialize(outcome);
  const auto* task = std::get_if<BankLayerTask>(&queued->task.payload);
  if (const auto* layer = std::get_if<BankLayerOutcome>(&outcome); layer != nullptr && task != nullptr) {
    BankLayerRecord record;
    record.key = BankKey(BankKeyPartsOf(queued->task.context, task->calibration, task->calibration_windows,
                                        job.inputs.dense.number_format));
    record.layer = task->layer;
    record.artifact = layer->artifact_digest;
    record.outcome = payload;
    bank = std::move(record);
  }
  EventRecord event;
  event.kind = EventKind::kOutcome;
  event.task_id = token.task_id;
  event.attempt = token.attempt;
  event.input_digest = input_digest;
  event.payload = payload;
  ESPALIER_RETURN_IF_ERROR(CommitEvent(job, std::move(event), bank, now));
  if (bank.has_value()) {  // jobs with the same bank can take the layer over
    for (auto& [id, other] : jobs_) other->CheckBanksAgain();
  }
  return absl::OkStatus();
}

std::optional<Verdict> Coordinator::Judge(const std::string& worker_id, const FinishedAttempt& finished, absl::Time now) {
  const LeaseToken& token = finished.token;
  const auto found = jobs_.find(token.job_id);
  if (found == jobs_.end()) return MakeVerdict(token, Decision::kSuperseded, "there is no such job any more");
  JobEntry& job = *found->second;
  const JobEntry::Granted* granted = job.FindGranted(token.task_id, token.attempt);
  if (granted != nullptr && (granted->epoch != token.epoch || granted->worker_id != worker_id)) {
    parts_.observer->OnReportRefused(token, "granted to another worker");
    return MakeVerdict(token, Decision::kRejected, "this lease was granted to another worker");
  }
  if (const auto told = job.told.find(token.task_id); told != job.told.end()) {
    // Of a job that had ended before this coordinator began, it does not know whose the attempt was.
    const bool is_same = told->second == token.attempt && granted != nullptr;
    if (is_same) return MakeVerdict(token, Decision::kCommitted, "");
    return MakeVerdict(token, Decision::kSuperseded, "another attempt was committed");
  }
  if (IsFinal(job.record.state)) {
    return MakeVerdict(token, Decision::kSuperseded, absl::StrCat("the job is ", Name(job.record.state)));
  }
  if (granted == nullptr) {
    parts_.observer->OnReportRefused(token, "never granted to this worker");
    return MakeVerdict(token, Decision::kRejected, "this lease was never granted to this worker");
  }
  if (const auto* outcome = std::get_if<TaskOutcome>(&finished.result)) {
    return JudgeOutcome(job, worker_id, token, granted->input_digest, *outcome, now);
  }
  if (const auto* failure = std::get_if<TaskFailure>(&finished.result)) {
    return JudgeFailure(job, worker_id, token, *failure, now);
  }
  if (const std::optional<Lease> lease = leases_.Remove(token)) EndLease(*lease, AttemptEnd::kHandedBack, "handed back");
  return MakeVerdict(token, Decision::kNoted, "back in the queue");
}

std::optional<Verdict> Coordinator::JudgeOutcome(JobEntry& job, const std::string& worker_id, const LeaseToken& token,
                                                 const std::string& input_digest, const TaskOutcome& outcome,
                                                 absl::Time now) {
  const JobEntry::Queued* queued = job.FindQueued(token.task_id);
  const auto supersede = [&](const std::string& reason) {
    if (const std::optional<Lease> lease = leases_.Remove(token)) EndLease(*lease, AttemptEnd::kHandedBack, reason);
    return MakeVerdict(token, Decision::kSuperseded, reason);
  };
  if (queued == nullptr) return supersede("the task is wanted no longer");
  if (queued->input_digest != input_digest) return supersede("the task's input has changed since");
  const absl::Status check = job.program->Check(token.task_id, outcome);
  if (check.code() == absl::StatusCode::kFailedPrecondition) return supersede(ToString(check.message()));
  if (!check.ok()) {
    parts_.observer->OnReportRefused(token, ToString(check.message()));
    // The worker's fault and not the job's: others may do better.
    JudgeFailure(job, worker_id, token, TaskFailure{absl::InternalError(check.message()), ""}, now);
    return MakeVerdict(token, Decision::kRejected, ToString(check.message()));
  }

  const TaskKind kind = queued->task.kind();
  const Lease* lease = leases_.Find(token);
  const absl::Duration ran = lease == nullptr ? absl::ZeroDuration() : now - lease->granted_at;
  const std::set<std::string> failed_workers = job.attempts.FailedWorkers(token.task_id);
  const absl::Status status = CommitOutcome(job, token, input_digest, outcome, now);
  if (!status.ok()) {
    NoteStoreError(Name(kind), status);
    return std::nullopt;  // the worker repeats it
  }
  if (const auto told = job.told.find(token.task_id); told == job.told.end() || told->second != token.attempt) {
    return supersede("another attempt was committed");
  }
  if (const std::optional<Lease> done = leases_.Remove(token)) NoteLeaseOver(*done, true);
  NoteDone(worker_id, token, failed_workers, now);
  if (const Lease* other = leases_.FindTask(token.job_id, token.task_id)) {
    notices_.workers.insert(other->worker_id);
    if (const std::optional<Lease> ended = leases_.Remove(LeaseToken(other->token))) {
      EndLease(*ended, AttemptEnd::kHandedBack, "another attempt was committed");
    }
  }
  if (WorkerEntry* worker = workers_.Find(worker_id)) ++worker->committed_tasks;
  NoteWork(job, outcome);
  parts_.observer->OnCommitted(token, outcome, ran);
  return MakeVerdict(token, Decision::kCommitted, "");
}

std::optional<Verdict> Coordinator::JudgeFailure(JobEntry& job, const std::string& worker_id, const LeaseToken& token,
                                                 const TaskFailure& failure, absl::Time now) {
  const std::optional<Lease> lease = leases_.Remove(token);
  const std::string reason = absl::StrCat(absl::StatusCodeToString(failure.status.code()), ": ", failure.status.message());
  // A lease that expired was counted then.
  if (!lease.has_value()) return MakeVerdict(token, Decision::kNoted, "the lease had ended");
  EndLease(*lease, AttemptEnd::kFailed, reason);
  ++job.version;
  notices_.jobs.insert(token.job_id);
  if (WorkerEntry* worker = workers_.Find(worker_id)) ++worker->failed_tasks;
  if (failure.status.code() == absl::StatusCode::kDataLoss && !failure.lost_artifact.empty()) {
    NoteLostArtifact(job, failure.lost_artifact, now);
    if (job.FindQueued(token.task_id) == nullptr) return MakeVerdict(token, Decision::kNoted, "the artifact is made again");
  }
  job.attempts.NoteFailed(token.task_id, worker_id, reason);
  quarantine_.NoteFailed(worker_id, token.job_id, token.task_id, reason);
  const bool is_input_wrong = IsHopeless(failure.status) && !IsFinal(job.record.state);
  const bool is_last = job.attempts.GiveUp(token.task_id, job.spec.max_attempts).has_value();
  if (is_input_wrong || (is_last && failure.status.code() == absl::StatusCode::kFailedPrecondition)) {
    // An evaluation that is given up counts as infeasible; wrong files must not look like that.
    const absl::Status status =
        ChangeState(job, JobState::kFailed,
                    absl::StrCat("task ", token.task_id, ": ", job.attempts.Reasons(token.task_id)), now);
    if (!status.ok()) NoteStoreError("a failed job", status);
    return MakeVerdict(token, Decision::kNoted, "the job has failed");
  }
  GiveUpIfDue(job, token.task_id, now);
  return MakeVerdict(token, Decision::kNoted, "");
}

void Coordinator::NoteWork(const JobEntry& job, const TaskOutcome& outcome) {
  const auto* measurement = std::get_if<Measurement>(&outcome);
  if (measurement == nullptr || !measurement->feasible) return;
  // A trained token costs a forward and a backward pass, about three forwards.
  const double tokens = 3.0 * static_cast<double>(measurement->trained_tokens + measurement->replayed_tokens) +
                        static_cast<double>(measurement->scored_tokens);
  work_done_ += tokens * static_cast<double>(CountParameters(job.inputs.dense));
  work_seconds_ += measurement->assemble_seconds + measurement->train_seconds + measurement->score_seconds;
}

void Coordinator::NoteLostArtifact(JobEntry& job, const std::string& digest, absl::Time now) {
  // Whoever found the damage moved the file aside; when it is there, it has been made again already.
  if (parts_.artifacts->Size(digest).ok()) return;
  if (const absl::Status status = parts_.store->LoseBankLayers(digest); !status.ok()) {
    NoteStoreError("a lost artifact", status);
    return;
  }
  EventRecord event;
  event.kind = EventKind::kArtifactLost;
  event.artifact = digest;
  const absl::Status status = CommitEvent(job, std::move(event), std::nullopt, now);
  if (!status.ok()) NoteStoreError("a lost artifact", status);
}

}  // namespace espalier
