#include "coordinator/core/coordinator.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "coordinator/core/enter.h"

namespace espalier {

Coordinator::Coordinator(Parts parts) : parts_(std::move(parts)), quarantine_(parts_.options.quarantine) {
  if (parts_.observer == nullptr) parts_.observer = &no_observer_;
}

absl::StatusOr<std::unique_ptr<Coordinator>> Coordinator::Open(Parts parts, absl::Time now) {
  std::unique_ptr<Coordinator> coordinator(new Coordinator(std::move(parts)));
  ESPALIER_RETURN_IF_ERROR(coordinator->Restore(now));
  return coordinator;
}

void Coordinator::SetListener(CoordinatorListener* listener) {
  const std::lock_guard lock(mutex_);
  listener_ = listener;
}

const char* Name(WorkerEnd end) {
  switch (end) {
    case WorkerEnd::kLeft: return "left";
    case WorkerEnd::kDied: return "died";
    case WorkerEnd::kSilent: return "silent";
  }
  return "unknown";
}

void Coordinator::LetTimePass(absl::Time now) {
  now_ = now;
  CatchUp(now);
  for (const Lease& lease : leases_.Expire(now)) {
    NoteExpired(lease, absl::StrCat("silent for ", absl::FormatDuration(parts_.options.lease_duration)), now);
  }
  for (const std::string& id : workers_.RemoveSilent(now, parts_.options.worker_memory)) {
    held_.erase(id);
    quarantine_.Forget(id);
    parts_.observer->OnWorkerGone(id, WorkerEnd::kSilent, "silent for long");
  }
  for (const std::string& id : quarantine_.Release(now)) {
    if (WorkerEntry* worker = workers_.Find(id)) workers_.SetQuarantined(*worker, false);
    parts_.observer->OnWorkerQuarantined(id, absl::ZeroDuration(), {});
  }
  for (auto& [id, job] : jobs_) {
    const double limit = job->spec.stop.wall_seconds;
    const bool is_due = limit > 0 && job->record.state == JobState::kRunning && !job->is_wall_time_told &&
                        job->Elapsed(now) >= absl::Seconds(limit);
    if (!is_due) continue;
    EventRecord event;
    event.kind = EventKind::kWallTimeStop;
    const absl::Status status = CommitEvent(*job, std::move(event), std::nullopt, now);
    if (!status.ok()) NoteStoreError("the wall-time stop", status);
  }
}

void Coordinator::Settle(absl::Time now) {
  for (auto& [id, job] : jobs_) {
    if (!job->is_active()) continue;
    TakeFromBanks(*job, now);
    DropUnwantedLeases(*job);
    FinishIfDone(*job, now);
  }
  GrantLeases(now);
}

void Coordinator::Deliver(std::unique_lock<std::mutex>& lock) {
  const Notices notices = std::exchange(notices_, {});
  CoordinatorListener* const listener = listener_;
  lock.unlock();
  if (listener == nullptr) return;
  if (!notices.workers.empty()) listener->OnWorkersReady({notices.workers.begin(), notices.workers.end()});
  if (!notices.jobs.empty()) listener->OnJobsChanged({notices.jobs.begin(), notices.jobs.end()});
}

void Coordinator::NoteStoreError(const char* what, const absl::Status& status) {
  parts_.observer->OnStoreError(what, status);
  if (status.code() == absl::StatusCode::kAborted) fatal_ = status;
  if (const absl::Status health = parts_.store->Health(); !health.ok()) fatal_ = health;
}

void Coordinator::Tick(absl::Time now) {
  Enter(now, [] { return 0; });
}

absl::Status Coordinator::Fatal() {
  const std::lock_guard lock(mutex_);
  return fatal_;
}

CoordinatorSnapshot Coordinator::Snapshot(absl::Time now) {
  const std::lock_guard lock(mutex_);
  CoordinatorSnapshot snapshot;
  snapshot.epoch = parts_.store->epoch();
  snapshot.store_health = fatal_;
  for (const auto& [id, job] : jobs_) {
    ++snapshot.jobs[job->record.state];
    snapshot.log_records = std::max(snapshot.log_records, job->last_sequence);
    if (job->record.state != JobState::kRunning || job->program == nullptr) continue;
    const int leased = static_cast<int>(job->leased.size());
    snapshot.running.push_back({id, job->program->Progress(), static_cast<int>(job->queue.size()) - leased, leased,
                                job->Health(), job->Preview().num_evaluations, job->useful_slot_seconds,
                                job->wasted_slot_seconds});
  }
  for (const auto& [id, worker] : workers_.all()) {
    const int taken = leases_.NumOfWorker(id);
    if (!worker.IsPresent(now, parts_.options.lease_duration)) {
      ++snapshot.workers_lost;
      continue;
    }
    snapshot.workers_waiting += worker.is_waiting;
    ++snapshot.workers_by_version[worker.description.software_version];
    snapshot.silences.push_back(worker.is_waiting ? absl::ZeroDuration() : now - worker.last_seen);
    ++(worker.is_draining      ? snapshot.workers_draining
       : worker.is_quarantined ? snapshot.workers_quarantined
       : taken > 0             ? snapshot.workers_busy
                               : snapshot.workers_idle);
    snapshot.slots += worker.description.slots;
    snapshot.slots_taken += taken;
  }
  std::sort(snapshot.silences.begin(), snapshot.silences.end());
  return snapshot;
}

std::vector<WorkerView> Coordinator::ListWorkers(absl::Time now) {
  const std::lock_guard lock(mutex_);
  std::vector<WorkerView> views;
  for (const auto& [id, worker] : workers_.all()) {
    WorkerView& view = views.emplace_back();
    view.worker_id = id;
    view.description = worker.description;
    view.is_draining = worker.is_draining;
    view.silence = worker.is_waiting ? absl::ZeroDuration() : now - worker.last_seen;
    view.is_lost = !worker.IsPresent(now, parts_.options.lease_duration);
    if (worker.is_quarantined) {
      view.quarantine_reasons = quarantine_.Reasons(id);
      view.quarantine_left = std::max(quarantine_.Until(id) - now, absl::ZeroDuration());
    }
    for (const Lease* lease : leases_.OfWorker(id)) view.activities.push_back({lease->token, lease->progress});
    view.committed_tasks = worker.committed_tasks;
    view.failed_tasks = worker.failed_tasks;
    view.peak_bytes = worker.peak_bytes;
    for (const RetainedState& state : worker.states) view.retained_bytes += state.bytes;
  }
  return views;
}

}  // namespace espalier
