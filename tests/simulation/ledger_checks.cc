// The ledger's comparisons of whole states.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "tests/simulation/ledger.h"

namespace espalier::simulation {

void Ledger::OnAnswer(const std::string& worker_id, const WorkerDescription& worker,
                      const SynchronizeResponse& response, bool is_of_leader) {
  classes_[worker_id] = worker.numerics_class;
  for (const Verdict& verdict : response.verdicts) {
    const LeaseToken& token = verdict.token;
    if (verdict.decision != Decision::kCommitted) continue;
    const Job* job = Find(token.job_id);
    const bool is_stored = job != nullptr && (job->is_deleted || (job->committed.contains(token.task_id) &&
                                                                  job->committed.at(token.task_id) == token.attempt));
    if (!is_stored) context_.Violate("I4", worker_id, " is told that ", ToText(token), " is committed; it is not");
    if (forged_.contains({worker_id, token})) {
      context_.Violate("I19", worker_id, " is told that it committed another worker's ", ToText(token));
    }
  }
  for (const LeaseGrant& grant : response.grants) {
    const Job* job = Find(grant.token.job_id);
    if (job == nullptr || job->is_deleted) continue;
    const auto task = job->attempts.find(grant.token.task_id);
    const bool is_durable = task != job->attempts.end() && task->second.contains(grant.token.attempt) &&
                            task->second.at(grant.token.attempt).token == grant.token &&
                            task->second.at(grant.token.attempt).worker_id == worker_id;
    if (!is_durable) context_.Violate("I2", worker_id, " is given ", ToText(grant.token), ", which is not durable");
    if (job->is_cancel_acknowledged && is_of_leader)
      context_.Violate("I15", worker_id, " is given ", ToText(grant.token), " of a cancelled job");
    if (!job->numerics_class.empty() && job->numerics_class != worker.numerics_class) {
      context_.Violate("I2", worker_id, " of class ", worker.numerics_class, " is given ", ToText(grant.token),
                       " of class ", job->numerics_class);
    }
    CheckMask(*job, grant.task);
  }
  if (response.next_call < absl::ZeroDuration() ||
      response.next_call > response.lease_duration / 2 + absl::Seconds(5) ||
      response.poll_time > response.lease_duration || response.grants.size() > static_cast<size_t>(worker.slots) ||
      response.keep_states.size() > 4096) {
    context_.Violate("I20", "an answer to ", worker_id, " has no bound: next call in ",
                     absl::FormatDuration(response.next_call), ", ", response.grants.size(), " grants, ",
                     response.keep_states.size(), " states");
  }
}

void Ledger::OnWait(absl::Duration wait, absl::Duration lease) {
  if (wait <= absl::ZeroDuration() || wait > lease / 2) {
    context_.Violate("I20", "a call waits for ", absl::FormatDuration(wait), " with a lease of ",
                     absl::FormatDuration(lease));
  }
}

void Ledger::CheckRunning(const CoordinatorSnapshot& snapshot) {
  for (const CoordinatorSnapshot::RunningJob& running : snapshot.running) {
    const Job* job = Find(running.job_id);
    if (job == nullptr || job->is_deleted) continue;
    if (running.tasks_queued < 0) {
      context_.Violate("I5", running.job_id, " has ", running.tasks_leased, " leases for ",
                       running.tasks_leased + running.tasks_queued, " tasks");
    }
    const int known = running.tasks_queued + running.tasks_leased;
    if (known != static_cast<int>(job->wanted.size())) {
      context_.Violate("I5", running.job_id, ": ", known, " tasks are queued or leased, the log wants ",
                       job->wanted.size());
    }
    const JobProgress mine = job->program->Progress();
    const JobProgress& theirs = running.progress;
    const bool is_same = mine.step == theirs.step && mine.generation == theirs.generation &&
                         mine.stage == theirs.stage && mine.tasks_done == theirs.tasks_done &&
                         mine.tasks_total == theirs.tasks_total && mine.trained_tokens == theirs.trained_tokens &&
                         mine.scored_tokens == theirs.scored_tokens && mine.best_digest == theirs.best_digest &&
                         mine.best_fitness == theirs.best_fitness;
    if (!is_same) {
      context_.Violate("I9", running.job_id, ": the search is at ", theirs.step, "/", theirs.generation, "/",
                       theirs.stage, " with ", theirs.trained_tokens, " tokens, the log at ", mine.step, "/",
                       mine.generation, "/", mine.stage, " with ", mine.trained_tokens);
    }
    if (theirs.trained_tokens > theirs.planned_train_tokens) {
      context_.Violate("I10", running.job_id, " trained ", theirs.trained_tokens, " tokens of ",
                       theirs.planned_train_tokens);
    }
  }
}

void Ledger::Check(Coordinator& core, absl::Time local_now, bool is_settled) {
  if (is_settled) CheckRunning(core.Snapshot(local_now));
  for (const WorkerView& worker : core.ListWorkers(local_now)) {
    if (static_cast<int>(worker.activities.size()) > worker.description.slots) {
      context_.Violate("I14", worker.worker_id, " has ", worker.activities.size(), " leases and ",
                       worker.description.slots, " slots");
    }
    for (const WorkerActivity& activity : worker.activities) {
      const Job* job = Find(activity.token.job_id);
      if (job == nullptr || job->is_deleted || (is_settled && job->committed.contains(activity.token.task_id))) {
        context_.Violate("I5", ToText(activity.token), " is leased and its task is not open");
      }
    }
  }
  for (const auto& [job_id, job] : jobs_) {
    for (const std::string& digest : job.artifacts) {
      if (!job.is_deleted && !artifacts_.Has(digest) && !artifacts_.WasLost(digest)) {
        context_.Violate("I13", job_id, " refers to artifact ", digest, ", which was removed");
      }
    }
    if (!job.is_deleted && job.state == JobState::kSucceeded && !artifacts_.Has(job.result_artifact)) {
      context_.Violate("I13", job_id, ": its result ", job.result_artifact, " was removed");
    }
  }
  if (!is_settled) return;
  std::set<std::string> shown;
  for (const JobView& view : core.ListJobs(local_now)) {
    shown.insert(view.job_id);
    const Job* job = Find(view.job_id);
    if (job == nullptr) context_.Violate("I3", view.job_id, " is shown and not durable");
    if (job != nullptr && !job->is_deleted && view.state != job->state) {
      context_.Violate("I9", view.job_id, " is shown as ", Name(view.state), " and is ", Name(job->state),
                       " in the store");
    }
    if (job != nullptr && job->is_cancel_acknowledged && view.state != JobState::kCancelled) {
      context_.Violate("I15", view.job_id, " was cancelled and is shown as ", Name(view.state));
    }
    // A job may fail only for a reason that the log has.
    if (job != nullptr && view.state == JobState::kFailed && job->given_up.empty()) {
      context_.Violate("I7", view.job_id, " has failed: ", view.failure);
    }
  }
  for (const auto& [job_id, job] : jobs_) {
    if (!job.is_deleted && !shown.contains(job_id)) context_.Violate("I3", job_id, " is durable and not shown");
  }
}

void Ledger::CheckMedium() {
  std::map<std::string, std::vector<const EventRecord*>> stored;
  for (const EventRecord& event : medium_.content->events) stored[event.job_id].push_back(&event);
  std::set<std::string> job_ids;
  for (const JobRecord& job : medium_.content->jobs) job_ids.insert(job.job_id);
  for (const auto& [job_id, job] : jobs_) {
    if (job.is_deleted) continue;
    if (!job_ids.contains(job_id)) context_.Violate("I3", job_id, " was stored and is gone");
    const std::vector<const EventRecord*>& events = stored[job_id];
    const bool is_same = events.size() == job.events.size() &&
                         std::equal(events.begin(), events.end(), job.events.begin(),
                                    [](const EventRecord* a, const EventRecord& b) { return *a == b; });
    if (!is_same) {
      context_.Violate("I4", job_id, ": the store has ", events.size(), " events, ", job.events.size(),
                       " were written");
    }
  }
}

void Ledger::CheckResult(const std::string& job_id, const Job& job, Coordinator& core, absl::Time local_now) {
  ++num_results_;
  if (Summary(*job.program) != job.catalog->result) {
    context_.Violate("I8", job_id, " (", job.catalog->name, "): the search is not the undisturbed one");
  }
  const absl::StatusOr<JobView> view = core.GetJob(local_now, job_id);
  if (!view.ok() || !view->result.has_value() || view->result->mask_digest != job.program->result().mask_digest ||
      view->result->trained_tokens != job.program->result().trained_tokens) {
    context_.Violate("I9", job_id, ": the coordinator shows another result than its log gives");
    return;
  }
  const auto candidates = core.ListCandidates(local_now, job_id);
  const std::vector<CandidateView> mine = job.program->Candidates();
  const bool is_same =
      candidates.ok() && std::equal(candidates->begin(), candidates->end(), mine.begin(), mine.end(),
                                    [](const CandidateView& a, const CandidateView& b) {
                                      return a.id == b.id && a.mask == b.mask && a.is_parent == b.is_parent;
                                    });
  if (!is_same) context_.Violate("I9", job_id, ": the coordinator shows other candidates than its log gives");
  if (!artifacts_.Has(view->result_artifact)) context_.Violate("I13", job_id, ": its result is not there");
  if (job.program->result().parameters > job.program->result().target_parameters) {
    context_.Violate("I12", job_id, ": ", job.program->result().parameters, " parameters for a target of ",
                     job.program->result().target_parameters);
  }
}

void Ledger::CheckFinished(const std::string& job_id, Coordinator& core, absl::Time local_now) {
  Job* job = Find(job_id);
  if (job == nullptr || job->is_deleted || job->is_result_checked) return;
  if (job->state != JobState::kSucceeded || !job->given_up.empty()) return;
  job->is_result_checked = true;
  CheckResult(job_id, *job, core, local_now);
}

void Ledger::CheckEnd(Coordinator& core, absl::Time local_now) {
  CheckMedium();
  for (const auto& [job_id, job] : jobs_) {
    if (job.is_deleted) continue;
    if (!IsFinal(job.state))
      context_.Violate("I7", job_id, " is still ", Name(job.state), " long after the last fault");
    CheckFinished(job_id, core, local_now);
    if (job.state == JobState::kFailed && job.given_up.empty()) context_.Violate("I7", job_id, " has failed");
  }
  for (const AttemptRecord& attempt : medium_.content->attempts) {
    const Job* job = Find(attempt.token.job_id);
    if (job == nullptr || job->is_deleted) continue;
    const auto& known = job->attempts.at(attempt.token.task_id).at(attempt.token.attempt);
    if (known.token != attempt.token || known.worker_id != attempt.worker_id) {
      context_.Violate("I2", ToText(attempt.token), " is not the attempt that was granted");
    }
  }
}

}  // namespace espalier::simulation
