// The core's calls about jobs.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/base/sha256.h"
#include "common/base/status_macros.h"
#include "common/wire/record.h"
#include "coordinator/core/enter.h"
#include "coordinator/schedule/why_waiting.h"
#include "coordinator/search/job_windows.h"
#include "coordinator/search/retained_states.h"

namespace espalier {

absl::StatusOr<JobEntry*> Coordinator::FindJob(const std::string& job_id) {
  const auto found = jobs_.find(job_id);
  if (found == jobs_.end()) return absl::NotFoundError(absl::StrCat("there is no job '", job_id, "'"));
  return found->second.get();
}

absl::StatusOr<JobEntry*> Coordinator::FindWithProgram(const std::string& job_id) {
  ESPALIER_ASSIGN_OR_RETURN(JobEntry * job, FindJob(job_id));
  if (job->replay_error.empty()) ESPALIER_RETURN_IF_ERROR(job->EnsureProgram(*parts_.store));
  return job;
}

std::string Coordinator::ChooseJobId(const NewJob& job) const {
  // Short, and the same for a repeated request; a job without a request id is told apart by its place.
  for (int i = 0;; ++i) {
    const std::string seed = absl::StrCat(job.request_id, "/", absl::ToUnixNanos(job.create_time), "/", job_order_.size(),
                                          "/", parts_.store->epoch(), "/", i);
    std::string id = absl::StrCat("job-", Sha256Hex(seed).substr(0, 8));
    if (!jobs_.contains(id)) return id;
  }
}

absl::StatusOr<std::optional<JobView>> Coordinator::FindRequest(absl::Time now, const std::string& request_id,
                                                                const std::string& submitted) {
  const std::lock_guard lock(mutex_);
  ESPALIER_ASSIGN_OR_RETURN(JobEntry * job, FindJobOfRequest(request_id, submitted));
  if (job == nullptr) return std::nullopt;
  return ViewOf(*job, now, false);
}

// nullptr when the request is new.
absl::StatusOr<JobEntry*> Coordinator::FindJobOfRequest(const std::string& request_id, const std::string& submitted) {
  if (request_id.empty()) return nullptr;
  for (const auto& [id, job] : jobs_) {
    if (job->record.request_id != request_id) continue;
    if (job->record.submitted == submitted) return job.get();
    return absl::AlreadyExistsError(
        absl::StrCat("request_id: '", request_id, "' was used with another specification, for jobs/", id));
  }
  if (const auto deleted = deleted_requests_.find(request_id); deleted != deleted_requests_.end()) {
    return absl::AlreadyExistsError(absl::StrCat("request_id: '", request_id, "' made jobs/", deleted->second,
                                                 ", which was deleted; submit with another request id"));
  }
  return nullptr;
}

absl::Status Coordinator::CheckJobLimits(const std::string& caller) const {
  const Limits& limits = parts_.options.limits;
  int num_active = 0, num_mine = 0;
  for (const auto& [id, job] : jobs_) {
    if (IsFinal(job->record.state)) continue;
    ++num_active;
    num_mine += job->caller == caller ? 1 : 0;
  }
  if (num_mine >= limits.max_active_jobs_per_caller) {
    return absl::ResourceExhaustedError(absl::StrCat("you have ", num_mine, " jobs that have not ended, the limit is ",
                                                     limits.max_active_jobs_per_caller,
                                                     "; wait for one of them or cancel it"));
  }
  if (num_active >= limits.max_active_jobs) {
    return absl::ResourceExhaustedError(absl::StrCat("the coordinator has ", num_active,
                                                     " jobs that have not ended, its limit; try again later"));
  }
  return absl::OkStatus();
}

// Of a job that is about to be added.
absl::Status Coordinator::CheckWindowLimit(JobEntry& added) {
  const JobWindows own = WindowsOfJob(added.Preview());
  double all = own.total;
  for (const auto& [id, job] : jobs_) {
    if (!IsFinal(job->record.state) && job->caller == added.caller) all += WindowsOfJob(job->Preview()).total;
  }
  const int64_t limit = parts_.options.limits.max_windows_per_caller;
  if (all <= static_cast<double>(limit)) return absl::OkStatus();
  const std::string why = absl::StrFormat(
      "%s is %d: with it the job reads %.0f windows of %d tokens, the coordinator's limit for all jobs of one caller is %d "
      "(--max-windows-per-caller)",
      own.largest_field, own.largest_value, own.total, added.spec.sequence_length, limit);
  if (own.total > static_cast<double>(limit)) return absl::InvalidArgumentError(absl::StrCat(why, "; ask for less"));
  return absl::ResourceExhaustedError(absl::StrFormat("%s, and with your jobs that have not ended it would be %.0f; wait for one of "
                                                      "them or cancel it", why, all));
}

absl::StatusOr<std::string> Coordinator::JudgeMemoryOf(const JobPreview& preview) const {
  constexpr char kWhose[] = "the largest worker known";
  const JobSpec& spec = preview.resolved;
  const std::optional<int64_t> largest = LargestMemory(workers_, spec.device);
  ESPALIER_RETURN_IF_ERROR(CheckRecoveryFits(spec, SizeOf(preview), largest, kWhose));
  const bool would_wait = spec.device == DeviceKind::kCuda || spec.minimum_device_memory > 0;
  return would_wait ? WarnOfMemory(spec, SizeOf(preview), largest, kWhose) : "";
}

absl::StatusOr<std::string> Coordinator::JudgeMemory(const JobPreview& preview) {
  const std::lock_guard lock(mutex_);
  return JudgeMemoryOf(preview);
}

absl::StatusOr<JobView> Coordinator::CreateJob(absl::Time now, const NewJob& job) {
  return Enter(now, [&]() -> absl::StatusOr<JobView> {
    ESPALIER_ASSIGN_OR_RETURN(JobEntry * earlier, FindJobOfRequest(job.request_id, job.submitted));
    if (earlier != nullptr) return ViewOf(*earlier, now, false);
    if (has_uncertain_jobs_) return absl::UnavailableError("the store does not answer; repeat the request");
    JobRecord record;
    record.job_id = job.job_id.empty() ? ChooseJobId(job) : job.job_id;
    if (jobs_.contains(record.job_id)) {
      return absl::AlreadyExistsError(absl::StrCat("job_id: '", record.job_id, "' is taken"));
    }
    ESPALIER_RETURN_IF_ERROR(CheckJobLimits(job.caller));
    record.request_id = job.request_id;
    record.submitted = job.submitted;
    record.spec = wire::Serialize(job.resolved);
    record.inputs = wire::Serialize(job.inputs);
    record.create_time = job.create_time;
    ESPALIER_ASSIGN_OR_RETURN(std::unique_ptr<JobEntry> entry, JobEntry::Make(record, parts_.programs));
    ESPALIER_RETURN_IF_ERROR(JudgeMemoryOf(entry->Preview()).status());
    ESPALIER_RETURN_IF_ERROR(CheckNotCollected(entry->Uploads(), false));
    ESPALIER_ASSIGN_OR_RETURN(entry->program, parts_.programs(record.job_id, entry->spec, entry->inputs));
    entry->caller = job.caller;
    ESPALIER_RETURN_IF_ERROR(CheckWindowLimit(*entry));
    const absl::Status status = Timed([&] { return parts_.store->InsertJob(record); });
    if (!status.ok()) {
      NoteStoreError("a new job", status);
      has_uncertain_jobs_ = true;
      // By a write that was reported as failed: the repeated request gets the job, or why it cannot have it.
      if (absl::IsAlreadyExists(status)) return absl::UnavailableError("the job may be stored; repeat the request");
      return status;
    }
    entry->RefreshQueue(now);
    JobEntry& added = *entry;
    job_order_.push_back(record.job_id);
    jobs_[record.job_id] = std::move(entry);
    notices_.jobs.insert(record.job_id);
    std::string why = absl::StrCat("created, ", Name(job.resolved.mode));
    if (job.resolved.mode == TrainMode::kContinue) absl::StrAppend(&why, " from ", Name(job.resolved.continue_state), " states");
    parts_.observer->OnJobState(record.job_id, JobState::kQueued, why);
    return ViewOf(added, now, false);
  });
}

absl::StatusOr<JobView> Coordinator::GetJob(absl::Time now, const std::string& job_id) {
  const std::lock_guard lock(mutex_);
  ESPALIER_ASSIGN_OR_RETURN(JobEntry * job, FindWithProgram(job_id));
  return ViewOf(*job, now, false);
}

absl::StatusOr<int64_t> Coordinator::JobVersion(const std::string& job_id) {
  const std::lock_guard lock(mutex_);
  ESPALIER_ASSIGN_OR_RETURN(JobEntry * job, FindJob(job_id));
  return job->version;
}

std::vector<JobView> Coordinator::ListJobs(absl::Time now) {
  const std::lock_guard lock(mutex_);
  std::vector<JobView> views;
  for (auto id = job_order_.rbegin(); id != job_order_.rend(); ++id) views.push_back(ViewOf(*jobs_.at(*id), now, true));
  return views;
}

absl::StatusOr<std::vector<CandidateView>> Coordinator::ListCandidates(absl::Time /*now*/, const std::string& job_id) {
  const std::lock_guard lock(mutex_);
  ESPALIER_ASSIGN_OR_RETURN(JobEntry * job, FindWithProgram(job_id));
  if (job->program == nullptr) return absl::FailedPreconditionError(job->replay_error);
  return job->program->Candidates();
}

namespace {

// After a write that was reported as failed, until the store can be read: what would be written might undo it.
absl::Status CheckStateIsKnown(const JobEntry& job) {
  if (!job.is_state_uncertain) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat("the store does not say what became of the last change of job '", job.record.job_id,
                                             "'; repeat the request"));
}

}  // namespace

absl::Status Coordinator::ChangeState(JobEntry& job, JobState state, const std::string& failure, absl::Time now) {
  ESPALIER_RETURN_IF_ERROR(CheckStateIsKnown(job));
  JobUpdate update;
  update.state = state;
  if (!failure.empty()) update.failure = failure;
  update.elapsed_seconds = absl::ToDoubleSeconds(job.Elapsed(now));
  const absl::Status status = Timed([&] { return parts_.store->UpdateJob(job.record.job_id, update); });
  if (!status.ok()) {
    NoteStoreError("a job's state", status);
    job.is_state_uncertain = true;
    return status;
  }
  EnterState(job, state, failure, now);
  return absl::OkStatus();
}

// Proves, for an answer that changes nothing, that this coordinator still leads.
absl::Status Coordinator::ConfirmState(JobEntry& job) {
  ESPALIER_RETURN_IF_ERROR(CheckStateIsKnown(job));
  JobUpdate update;
  update.state = job.record.state;
  const absl::Status status = Timed([&] { return parts_.store->UpdateJob(job.record.job_id, update); });
  if (!status.ok()) NoteStoreError("a job's state", status);
  return status;
}

void Coordinator::EnterState(JobEntry& job, JobState state, const std::string& failure, absl::Time now) {
  job.is_state_uncertain = false;
  job.record.state = state;
  job.record.failure = failure;
  if (state == JobState::kRunning) {
    job.StartClock(now);
  } else {
    job.StopClock(now);
  }
  job.waiting_for.clear();
  ++job.version;
  notices_.jobs.insert(job.record.job_id);
  parts_.observer->OnJobState(job.record.job_id, state, failure);
  if (state != JobState::kRunning) TakeBackLeases(job, absl::StrCat("the job is ", Name(state)));
  job.RefreshQueue(now);
}

void Coordinator::TakeBackLeases(JobEntry& job, const std::string& reason) {
  for (const Lease& lease : leases_.RemoveJob(job.record.job_id)) {
    EndLease(lease, AttemptEnd::kHandedBack, reason);
    notices_.workers.insert(lease.worker_id);  // to be told to stop
  }
}

namespace {

absl::Status HasEnded(const JobEntry& job) {
  return absl::FailedPreconditionError(
      absl::StrCat("job '", job.record.job_id, "' has ended already: it is ", Name(job.record.state)));
}

}  // namespace

absl::StatusOr<JobView> Coordinator::CancelJob(absl::Time now, const std::string& job_id) {
  return Enter(now, [&]() -> absl::StatusOr<JobView> {
    ESPALIER_ASSIGN_OR_RETURN(JobEntry * job, FindJob(job_id));
    if (job->record.state == JobState::kCancelled) {
      ESPALIER_RETURN_IF_ERROR(ConfirmState(*job));
    } else {
      if (IsFinal(job->record.state)) return HasEnded(*job);
      ESPALIER_RETURN_IF_ERROR(ChangeState(*job, JobState::kCancelled, "", now));
    }
    return ViewOf(*job, now, false);
  });
}

absl::StatusOr<JobView> Coordinator::PauseJob(absl::Time now, const std::string& job_id) {
  return Enter(now, [&]() -> absl::StatusOr<JobView> {
    ESPALIER_ASSIGN_OR_RETURN(JobEntry * job, FindJob(job_id));
    if (IsFinal(job->record.state)) return HasEnded(*job);
    if (job->record.state == JobState::kPaused) {
      ESPALIER_RETURN_IF_ERROR(ConfirmState(*job));
    } else {
      ESPALIER_RETURN_IF_ERROR(ChangeState(*job, JobState::kPaused, "", now));
    }
    return ViewOf(*job, now, false);
  });
}

absl::StatusOr<JobView> Coordinator::ResumeJob(absl::Time now, const std::string& job_id) {
  return Enter(now, [&]() -> absl::StatusOr<JobView> {
    ESPALIER_ASSIGN_OR_RETURN(JobEntry * job, FindJob(job_id));
    if (IsFinal(job->record.state)) return HasEnded(*job);
    if (job->record.state != JobState::kPaused) {
      ESPALIER_RETURN_IF_ERROR(ConfirmState(*job));
    } else {
      // Running again when something had been leased before; the first lease makes a queued job a running one.
      const JobState state = job->record.numerics_class.empty() ? JobState::kQueued : JobState::kRunning;
      ESPALIER_RETURN_IF_ERROR(ChangeState(*job, state, "", now));
    }
    return ViewOf(*job, now, false);
  });
}

absl::Status Coordinator::DeleteJob(absl::Time now, const std::string& job_id) {
  return Enter(now, [&]() -> absl::Status {
    ESPALIER_ASSIGN_OR_RETURN(JobEntry * job, FindJob(job_id));
    if (!IsFinal(job->record.state)) {
      return absl::FailedPreconditionError(
          absl::StrCat("job '", job_id, "' is ", Name(job->record.state), "; cancel it first"));
    }
    // What cannot be read now waits for longer: the collector finds it when it is old.
    if (parts_.options.collects_artifacts) job->NoteArtifacts(*parts_.store).IgnoreError();
    const absl::Status status = Timed([&] { return parts_.store->DeleteJob(job_id); });
    if (!status.ok()) {
      NoteStoreError("deleting a job", status);
      return status;
    }
    if (!job->record.request_id.empty()) deleted_requests_[job->record.request_id] = job_id;
    if (parts_.options.collects_artifacts) released_.insert(job->artifacts.begin(), job->artifacts.end());
    std::erase_if(stuck_, [&](const LeaseToken& token) { return token.job_id == job_id; });
    shares_.Forget(job_id);
    jobs_.erase(job_id);
    std::erase(job_order_, job_id);
    notices_.jobs.insert(job_id);
    return absl::OkStatus();
  });
}

JobView Coordinator::ViewOf(JobEntry& job, absl::Time now, bool is_brief) {
  JobView view;
  view.job_id = job.record.job_id;
  view.spec = job.spec;
  view.state = job.record.state;
  view.failure = job.record.failure;
  view.elapsed = job.Elapsed(now);
  view.create_time = job.record.create_time;
  view.numerics_class = job.record.numerics_class;
  view.failed_tasks = job.failed_tasks;
  view.waiting_for = job.waiting_for;
  view.result_artifact = job.record.result_artifact;
  view.version = job.version;
  for (const Lease* lease : leases_.OfJob(job.record.job_id)) {
    ++view.tasks_running;
    view.tokens_per_second += lease->progress.tokens_per_second;
  }
  if (job.program != nullptr) view.progress = job.program->Progress();
  if (is_brief) return view;
  view.ladder = job.ladder;
  view.inputs = job.inputs;
  view.preview = job.Preview();
  if (job.program == nullptr) return view;
  view.generations = job.program->Generations();
  if (job.record.state == JobState::kSucceeded) view.result = job.program->result();
  return view;
}

}  // namespace espalier
