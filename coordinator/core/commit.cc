// What is committed, and what follows from it.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "coordinator/core/enter.h"

namespace espalier {
namespace {

// One event of several was refused for what it is, so that none was stored.
bool IsRefusal(const absl::Status& status) {
  return absl::IsAlreadyExists(status) || absl::IsFailedPrecondition(status) || absl::IsNotFound(status);
}

}  // namespace

absl::Status Coordinator::ApplyCommitted(JobEntry& job, const EventRecord& event, absl::Time now) {
  const absl::Status applied = job.Apply(event, now);
  if (const std::optional<absl::Duration> took = std::exchange(job.ended_generation, std::nullopt)) {
    parts_.observer->OnGenerationEnded(job.record.job_id, *took);
  }
  for (const OffspringTallies& offspring : std::exchange(job.ended_offspring, {})) {
    parts_.observer->OnOffspringMeasured(job.record.job_id, offspring);
  }
  if (applied.ok()) return applied;
  // It was checked before it was committed, so this is a defect; the job must not hang.
  return ChangeState(job, JobState::kFailed, absl::StrCat("the search cannot go on: ", applied.message()), now);
}

absl::Status Coordinator::CommitEvent(JobEntry& job, EventRecord event, const std::optional<BankLayerRecord>& bank,
                                      absl::Time now) {
  if (job.is_behind) return absl::UnavailableError("an earlier event may be stored and is not known yet");
  event.job_id = job.record.job_id;
  event.elapsed_seconds = absl::ToDoubleSeconds(job.Elapsed(now));
  absl::StatusOr<int64_t> sequence = Timed([&] { return parts_.store->Commit(event, bank); });
  notices_.jobs.insert(event.job_id);
  if (absl::IsAlreadyExists(sequence.status())) return TellMissed(job, now);  // by a write that was reported as failed
  if (!sequence.ok()) {
    job.is_behind = true;
    return sequence.status();
  }
  event.sequence = *sequence;
  job.may_have_unwanted_leases = true;
  return ApplyCommitted(job, event, now);
}

void Coordinator::CommitTogether(CommitGroup& group, absl::Time now) {
  std::vector<CommitGroup::Member> members = group.TakeAll();
  if (members.empty()) return;
  std::vector<EventCommit> commits;
  for (const CommitGroup::Member& member : members) commits.push_back(member.commit);
  const absl::StatusOr<std::vector<int64_t>> sequences = Timed([&] { return parts_.store->CommitAll(commits); });
  for (size_t i = 0; i < members.size(); ++i) {
    CommitGroup::Member& member = members[i];
    EventRecord& event = member.commit.event;
    absl::Status status = sequences.status();
    if (sequences.ok()) {
      event.sequence = (*sequences)[i];
      notices_.jobs.insert(event.job_id);
      status = ApplyCommitted(*member.job, event, now);
    } else if (IsRefusal(status)) {
      status = CommitEvent(*member.job, event, member.commit.bank, now);
    } else {
      member.job->is_behind = true;
    }
    member.report->verdict = Conclude(member, status, now);
  }
}

// The verdict on an outcome once it was tried to commit it.
std::optional<Verdict> Coordinator::Conclude(const CommitGroup::Member& member, const absl::Status& status,
                                             absl::Time now) {
  JobEntry& job = *member.job;
  const LeaseToken& token = member.report->finished->token;
  const std::string& worker_id = *member.report->worker_id;
  const TaskOutcome& outcome = std::get<TaskOutcome>(member.report->finished->result);
  if (!status.ok()) {
    NoteStoreError("an outcome", status);
    return std::nullopt;  // the worker repeats it
  }
  if (member.commit.bank.has_value()) {  // jobs with the same bank can take the layer over
    for (auto& [id, other] : jobs_) other->CheckBanksAgain();
  }
  const std::optional<Lease> lease = leases_.Remove(token);
  if (const auto told = job.told.find(token.task_id); told == job.told.end() || told->second != token.attempt) {
    if (lease.has_value()) EndLease(*lease, AttemptEnd::kHandedBack, "another attempt was committed");
    job.may_have_unwanted_leases = true;
    return Verdict{token, Decision::kSuperseded, "another attempt was committed"};
  }
  if (lease.has_value()) NoteLeaseOver(*lease, AttemptEnd::kCommitted);
  NoteDone(worker_id, token, member.failed_workers, now);
  if (const Lease* other = leases_.FindTask(token.job_id, token.task_id)) {
    notices_.workers.insert(other->worker_id);
    if (const std::optional<Lease> ended = leases_.Remove(LeaseToken(other->token))) {
      EndLease(*ended, AttemptEnd::kHandedBack, "another attempt was committed");
    }
  }
  if (WorkerEntry* worker = workers_.Find(worker_id)) {
    ++worker->committed_tasks;
    if (const auto* measurement = std::get_if<Measurement>(&outcome)) {
      worker->peak_bytes = std::max(worker->peak_bytes, measurement->peak_bytes);
    }
  }
  NoteWork(job, outcome);
  job.stage_times.Note(token.task_id, worker_id, absl::ToDoubleSeconds(job.Elapsed(now)));
  for (const StageTime& ended : job.stage_times.TakeEnded()) parts_.observer->OnStageEnded(token.job_id, ended);
  parts_.observer->OnCommitted(token, outcome, lease.has_value() ? now - lease->granted_at : absl::ZeroDuration());
  return Verdict{token, Decision::kCommitted, ""};
}

void Coordinator::NoteDone(const std::string& worker_id, const LeaseToken& token,
                           const std::set<std::string>& failed_workers, absl::Time now) {
  for (const std::string& id : quarantine_.NoteDone(now, worker_id, token.job_id, token.task_id, failed_workers)) {
    if (WorkerEntry* worker = workers_.Find(id)) workers_.SetQuarantined(*worker, true);
    parts_.observer->OnWorkerQuarantined(id, quarantine_.Until(id) - now, quarantine_.Reasons(id));
  }
}

void Coordinator::NoteWork(const JobEntry& job, const TaskOutcome& outcome) {
  WorkRate& rate = rates_[job.spec.device];
  const int64_t parameters = CountParameters(job.inputs.dense);
  if (const auto* measurement = std::get_if<Measurement>(&outcome)) rate.Note(*measurement, parameters);
  if (const auto* layer = std::get_if<BankLayerOutcome>(&outcome)) {
    rate.bank_work += static_cast<double>(job.spec.calibration_tokens) * static_cast<double>(parameters) /
                      std::max(1, job.inputs.dense.num_layers);
    rate.bank_seconds += layer->seconds;
  }
}

}  // namespace espalier
