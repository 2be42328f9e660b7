// What becomes of the attempts that workers report, and of leases that end.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/domain/bank_key.h"
#include "common/wire/record.h"
#include "coordinator/core/artifact_references.h"
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
  NoteLeaseOver(lease, end);
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

void Coordinator::NoteLeaseOver(const Lease& lease, AttemptEnd end) {
  if (WorkerEntry* worker = workers_.Find(lease.worker_id)) {
    workers_.SetNumLeases(*worker, leases_.NumOfWorker(lease.worker_id));
  }
  parts_.observer->OnLeaseOver(now_ - lease.granted_at, end);
  const auto found = jobs_.find(lease.token.job_id);
  if (found == jobs_.end()) return;
  JobEntry& job = *found->second;
  job.SetLeased(lease.token.task_id, false);
  const bool is_complete = end == AttemptEnd::kCommitted;
  const double seconds = absl::ToDoubleSeconds(now_ - lease.granted_at);
  (is_complete ? job.useful_slot_seconds : job.wasted_slot_seconds) += std::max(0.0, seconds);
  shares_.SettleLease(lease.token.job_id, job.spec.weight, lease.charged_seconds, seconds, is_complete);
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

EventCommit Coordinator::MakeCommit(const JobEntry& job, const Task& task, const LeaseToken& token,
                                    const std::string& input_digest, const TaskOutcome& outcome, absl::Time now) const {
  EventCommit commit;
  EventRecord& event = commit.event;
  event.job_id = token.job_id;
  event.kind = EventKind::kOutcome;
  event.task_id = token.task_id;
  event.attempt = token.attempt;
  event.input_digest = input_digest;
  event.payload = wire::Serialize(outcome);
  event.elapsed_seconds = absl::ToDoubleSeconds(job.Elapsed(now));
  const auto* bank_task = std::get_if<BankLayerTask>(&task.payload);
  const auto* layer = std::get_if<BankLayerOutcome>(&outcome);
  if (bank_task == nullptr || layer == nullptr) return commit;
  BankLayerRecord& record = commit.bank.emplace();
  record.key = BankKey(BankKeyPartsOf(task.context, bank_task->calibration, bank_task->calibration_windows,
                                      job.inputs.dense.number_format));
  record.layer = bank_task->layer;
  record.artifact = layer->artifact_digest;
  record.outcome = event.payload;
  return commit;
}

void Coordinator::JudgeAll(std::vector<Report>& reports, absl::Time now) {
  CommitGroup group;
  for (Report& report : reports) {
    const LeaseToken& token = report.finished->token;
    // What it is worth may depend on outcomes that were not told yet; what is no outcome has its own way into the store.
    const bool is_outcome = std::holds_alternative<TaskOutcome>(report.finished->result);
    if (!is_outcome || !group.IsOpenFor(token.job_id, token.task_id)) CommitTogether(group, now);
    report.verdict = Judge(report, group, now);
  }
  CommitTogether(group, now);
}

// Nothing, when the outcome has joined the group or the store refuses it.
std::optional<Verdict> Coordinator::Judge(Report& report, CommitGroup& group, absl::Time now) {
  const FinishedAttempt& finished = *report.finished;
  const std::string& worker_id = *report.worker_id;
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
  if (std::holds_alternative<TaskOutcome>(finished.result)) {
    return JudgeOutcome(job, report, granted->input_digest, group, now);
  }
  if (const auto* failure = std::get_if<TaskFailure>(&finished.result)) {
    return JudgeFailure(job, worker_id, token, *failure, now);
  }
  if (const std::optional<Lease> lease = leases_.Remove(token)) EndLease(*lease, AttemptEnd::kHandedBack, "handed back");
  return MakeVerdict(token, Decision::kNoted, "back in the queue");
}

std::optional<Verdict> Coordinator::JudgeOutcome(JobEntry& job, Report& report, const std::string& input_digest,
                                                 CommitGroup& group, absl::Time now) {
  const LeaseToken& token = report.finished->token;
  const TaskOutcome& outcome = std::get<TaskOutcome>(report.finished->result);
  const std::string numerics_class = ClassOf(*report.worker_id);
  // One of the group may bind the job to its class.
  if (numerics_class != job.record.numerics_class) CommitTogether(group, now);
  const JobEntry::Queued* queued = job.FindQueued(token.task_id);
  const auto supersede = [&](const std::string& reason) {
    if (const std::optional<Lease> lease = leases_.Remove(token)) EndLease(*lease, AttemptEnd::kHandedBack, reason);
    return MakeVerdict(token, Decision::kSuperseded, reason);
  };
  if (queued == nullptr) return supersede("the task is wanted no longer");
  if (queued->input_digest != input_digest) return supersede("the task's input has changed since");
  if (job.IsOfOtherClass(numerics_class)) return supersede("the job went on with workers of another numerics class");
  const absl::Status check = job.program->Check(token.task_id, outcome);
  if (check.code() == absl::StatusCode::kFailedPrecondition) return supersede(ToString(check.message()));
  if (!check.ok()) {
    parts_.observer->OnReportRefused(token, ToString(check.message()));
    CommitTogether(group, now);
    // The worker's fault and not the job's: others may do better.
    JudgeFailure(job, *report.worker_id, token, TaskFailure{absl::InternalError(check.message()), ""}, now);
    return MakeVerdict(token, Decision::kRejected, ToString(check.message()));
  }
  if (job.is_behind) {
    NoteStoreError("an outcome", absl::UnavailableError("an earlier event may be stored and is not known yet"));
    return std::nullopt;  // the worker repeats it
  }
  if (const absl::Status pinned = PinNumericsClass(job, numerics_class); !pinned.ok()) {
    NoteStoreError("a job's numerics class", pinned);
    return std::nullopt;  // the worker repeats it
  }
  const bool is_of_older_epoch = parts_.options.collects_artifacts && token.epoch != parts_.store->epoch();
  if (const absl::Status kept = CheckNotCollected(ArtifactsOf(outcome), is_of_older_epoch); absl::IsDataLoss(kept)) {
    CommitTogether(group, now);
    return JudgeFailure(job, *report.worker_id, token, TaskFailure{kept, ""}, now);
  } else if (!kept.ok()) {
    return std::nullopt;  // the worker repeats it
  }
  group.Add({&job, &report, MakeCommit(job, queued->task, token, input_digest, outcome, now),
             job.attempts.FailedWorkers(token.task_id)});
  return std::nullopt;
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
