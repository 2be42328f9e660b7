// The core's calls that pages are made from. They change nothing, so they do not Enter.
#include "coordinator/core/page_snapshots.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "coordinator/core/coordinator.h"

namespace espalier {
namespace {

std::optional<CandidateView> FirstOf(const JobProgram& program, const std::function<bool(const CandidateView&)>& is_it) {
  std::vector<CandidateView> found = program.CandidatesWhere(is_it);
  if (found.empty()) return std::nullopt;
  return std::move(found.front());
}

// A digest may belong to several candidates: the one that was measured most is the one to show.
std::optional<CandidateView> MostMeasured(const JobProgram& program, const std::string& digest) {
  if (digest.empty()) return std::nullopt;
  std::vector<CandidateView> found =
      program.CandidatesWhere([&](const CandidateView& candidate) { return candidate.mask_digest == digest; });
  const auto most = std::max_element(found.begin(), found.end(), [](const CandidateView& a, const CandidateView& b) {
    return a.by_stage.size() < b.by_stage.size();
  });
  if (most == found.end()) return std::nullopt;
  return std::move(*most);
}

// With which generation `number` began.
std::optional<CandidateView> ParentOf(const JobProgram& program, const std::vector<GenerationView>& generations,
                                      int number) {
  const GenerationView* before = nullptr;
  for (const GenerationView& generation : generations) {
    if (generation.generation < number) before = &generation;
  }
  if (before != nullptr) return MostMeasured(program, before->parent_digest);
  return FirstOf(program, [](const CandidateView& candidate) { return candidate.id == "first-parent"; });
}

// The newest parent that was another mask than `digest`.
std::optional<CandidateView> BeforeOf(const JobProgram& program, const std::vector<GenerationView>& generations,
                                      const std::string& digest) {
  size_t at = generations.size();
  while (at > 0 && generations[at - 1].parent_digest != digest) --at;
  while (at > 0 && generations[at - 1].parent_digest == digest) --at;
  if (at > 0) return MostMeasured(program, generations[at - 1].parent_digest);
  std::optional<CandidateView> first =
      FirstOf(program, [](const CandidateView& candidate) { return candidate.id == "first-parent"; });
  if (first.has_value() && first->mask_digest == digest) return std::nullopt;
  return first;
}

std::string WithHyphens(std::string id) {
  std::replace(id.begin(), id.end(), '/', '-');
  return id;
}

}  // namespace

TimeEstimate Coordinator::EstimateJob(absl::Time now, const JobPreview& preview) {
  PlannedWork planned;
  planned.train_tokens = preview.train_tokens;
  planned.score_tokens = preview.score_tokens;
  planned.recovery_tokens = preview.recovery_tokens;
  planned.dense_parameters = preview.dense_parameters;
  planned.candidate_parameters = preview.dense_parameters;
  if (preview.dense_cost > 0) {
    planned.candidate_parameters = static_cast<int64_t>(static_cast<double>(preview.dense_parameters) *
                                                        static_cast<double>(preview.target_cost) /
                                                        static_cast<double>(preview.dense_cost));
  }
  const std::lock_guard lock(mutex_);
  int num_devices = 0;
  for (const auto& [id, worker] : workers_.all()) {
    const bool can_take = worker.IsPresent(now, parts_.options.lease_duration) && !worker.is_draining &&
                          !worker.is_quarantined && worker.description.device == preview.resolved.device &&
                          (worker.description.memory_bytes == 0 || preview.resolved.device == DeviceKind::kCpu ||
                           worker.description.memory_bytes >= preview.resolved.minimum_device_memory);
    if (can_take) ++num_devices;
  }
  const auto rate = rates_.find(preview.resolved.device);
  return EstimateTime(preview.resolved, planned, rate == rates_.end() ? WorkRate{} : rate->second, num_devices);
}

JobsSnapshot Coordinator::SnapshotJobs(absl::Time now, int first, int count) {
  const std::lock_guard lock(mutex_);
  JobsSnapshot snapshot;
  snapshot.total = static_cast<int>(job_order_.size());
  snapshot.first = std::clamp(first, 0, snapshot.total);
  for (const auto& [id, job] : jobs_) ++snapshot.by_state[job->record.state];
  const int end = std::min(snapshot.total, snapshot.first + std::max(0, count));
  for (int i = snapshot.first; i < end; ++i) {
    snapshot.jobs.push_back(ViewOf(*jobs_.at(job_order_[snapshot.total - 1 - i]), now, true));
  }
  return snapshot;
}

absl::StatusOr<JobSnapshot> Coordinator::SnapshotJob(absl::Time now, const std::string& job_id,
                                                     std::optional<int> generation) {
  const std::lock_guard lock(mutex_);
  ESPALIER_ASSIGN_OR_RETURN(JobEntry * job, FindJob(job_id));
  // A job whose replay fails has a page all the same: the page says why.
  const absl::Status replayed = FindWithProgram(job_id).status();
  JobSnapshot snapshot;
  snapshot.job = ViewOf(*job, now, false);
  if (snapshot.job.failure.empty() && !replayed.ok()) snapshot.job.failure = std::string(replayed.message());
  for (const Lease* lease : leases_.OfJob(job_id)) {
    RunningTask task;
    task.task_id = lease->token.task_id;
    task.attempt = lease->token.attempt;
    task.worker_id = lease->worker_id;
    if (const WorkerEntry* worker = workers_.Find(lease->worker_id)) {
      task.host_name = worker->description.host_name;
      task.device_name = worker->description.device_name;
    }
    task.since_granted = now - lease->granted_at;
    task.progress = lease->progress;
    snapshot.running.push_back(std::move(task));
  }
  for (const auto& [task_id, queued] : job->queue) {
    std::string reasons = job->attempts.Reasons(task_id);
    if (!reasons.empty()) snapshot.troubles.emplace_back(task_id, std::move(reasons));
  }
  if (job->program == nullptr) return snapshot;
  const JobProgram& program = *job->program;
  const std::vector<GenerationView>& generations = snapshot.job.generations;
  const std::string best =
      snapshot.job.result.has_value() ? snapshot.job.result->mask_digest : snapshot.job.progress.best_digest;
  snapshot.best = MostMeasured(program, best);
  snapshot.before = BeforeOf(program, generations, best);
  if (best.empty()) return snapshot;
  const bool is_searching = snapshot.job.progress.step == "search";
  const int newest = is_searching || generations.empty() ? snapshot.job.progress.generation : generations.back().generation;
  snapshot.generation = std::max(0, generation.value_or(newest));
  snapshot.candidates = program.CandidatesWhere(
      [&](const CandidateView& candidate) { return candidate.generation == *snapshot.generation; });
  for (const CandidateView& candidate : program.CandidatesWhere(IsInfeasible)) {
    ++snapshot.infeasible_candidates[candidate.generation];
  }
  snapshot.parent = ParentOf(program, generations, *snapshot.generation);
  return snapshot;
}

absl::StatusOr<CandidateSnapshot> Coordinator::SnapshotCandidate(absl::Time now, const std::string& job_id,
                                                                 const std::string& candidate_id) {
  const std::lock_guard lock(mutex_);
  ESPALIER_ASSIGN_OR_RETURN(JobEntry * job, FindWithProgram(job_id));
  if (job->program == nullptr) return absl::FailedPreconditionError(job->replay_error);
  const JobProgram& program = *job->program;
  const std::string wanted = WithHyphens(candidate_id);
  std::optional<CandidateView> candidate =
      FirstOf(program, [&](const CandidateView& view) { return WithHyphens(view.id) == wanted; });
  if (!candidate.has_value()) {
    return absl::NotFoundError(absl::StrCat("there is no candidate '", candidate_id, "' in job '", job_id, "'"));
  }
  CandidateSnapshot snapshot;
  snapshot.job = ViewOf(*job, now, false);
  for (const GenerationView& generation : snapshot.job.generations) {
    if (generation.parent_digest == candidate->mask_digest) snapshot.won.push_back(generation);
  }
  // Those that no generation drew have no parent.
  if (candidate->id.find('/') != std::string::npos) {
    snapshot.parent = ParentOf(program, snapshot.job.generations, candidate->generation);
  }
  snapshot.candidate = *std::move(candidate);
  return snapshot;
}

}  // namespace espalier
