// The core's side of the worker protocol.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "coordinator/core/enter.h"

namespace espalier {
namespace {

constexpr size_t kMaxWorkerIdBytes = 80;
constexpr absl::Duration kShortestHeartbeat = absl::Seconds(5);
constexpr double kHeartbeatsPerSecond = 500;  // of all workers, about

absl::Status CheckCount(const char* field, size_t count, int limit) {
  if (static_cast<int64_t>(count) <= limit) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(field, ": ", count, " entries; at most ", limit, " are allowed"));
}

bool Contains(const std::vector<LeaseToken>& tokens, const LeaseToken& token) {
  return std::find(tokens.begin(), tokens.end(), token) != tokens.end();
}

}  // namespace

absl::Status Coordinator::CheckRequest(const SynchronizeRequest& request) const {
  if (request.worker_id.empty() || request.worker_id.size() > kMaxWorkerIdBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("worker_id: ", request.worker_id.size(), " bytes; 1 to ", kMaxWorkerIdBytes, " are allowed"));
  }
  if (request.departure == Departure::kDied) return absl::OkStatus();
  const Limits& limits = parts_.options.limits;
  ESPALIER_RETURN_IF_ERROR(CheckCount("held", request.held.size(), limits.max_held));
  ESPALIER_RETURN_IF_ERROR(CheckCount("finished", request.finished.size(), limits.max_finished));
  ESPALIER_RETURN_IF_ERROR(CheckCount("states", request.states.size(), limits.max_states));
  const bool is_new = workers_.Find(request.worker_id) == nullptr;
  if (is_new && static_cast<int>(workers_.all().size()) >= limits.max_workers) {
    return absl::ResourceExhaustedError(absl::StrCat("the coordinator knows ", workers_.all().size(),
                                                     " workers, its limit; call again later"));
  }
  if (request.description.protocol_version != kWorkerProtocolVersion) {
    return absl::FailedPreconditionError(absl::StrCat(
        "this worker speaks version ", request.description.protocol_version, " of the worker protocol, the coordinator ",
        "needs ", kWorkerProtocolVersion, "; install the worker of the coordinator's release"));
  }
  // A newer coordinator has granted these: what they are worth is its to say.
  const auto is_newer = [&](const auto& item) { return item.token.epoch > parts_.store->epoch(); };
  if (std::any_of(request.held.begin(), request.held.end(), is_newer) ||
      std::any_of(request.finished.begin(), request.finished.end(), is_newer)) {
    return absl::UnavailableError("another coordinator leads; call again");
  }
  return absl::OkStatus();
}

absl::Duration Coordinator::PollTime() const {
  return std::min(parts_.options.poll_time, parts_.options.lease_duration / 3);
}

void Coordinator::NoteWorker(const SynchronizeRequest& request, absl::Time now) {
  const bool is_new = workers_.Find(request.worker_id) == nullptr;
  WorkerEntry& worker = workers_.Note(request.worker_id, now);
  const bool is_of_new_class = worker.description.numerics_class != request.description.numerics_class;
  worker.description = request.description;
  worker.is_draining = request.draining || request.departure != Departure::kNone;
  workers_.SetStates(worker, request.states);
  workers_.SetWaiting(worker, false);
  workers_.SetNumLeases(worker, leases_.NumOfWorker(request.worker_id));
  std::vector<LeaseToken>& held = held_[request.worker_id];
  held.clear();
  for (const HeldLease& lease : request.held) held.push_back(lease.token);
  if (is_new) {
    parts_.observer->OnWorkerSeen(request.worker_id, absl::StrCat(request.description.host_name, ", ",
                                                                  request.description.device_name, ", ",
                                                                  request.description.numerics_class));
  }
  if (is_new || is_of_new_class) EndLeasesOfOtherClass(request.worker_id);
}

bool Coordinator::Readopt(const LeaseToken& token, const std::string& worker_id, absl::Time now) {
  const auto found = jobs_.find(token.job_id);
  if (found == jobs_.end() || !found->second->is_active()) return false;
  JobEntry& job = *found->second;
  const JobEntry::Granted* granted = job.FindGranted(token.task_id, token.attempt);
  const JobEntry::Queued* queued = job.FindQueued(token.task_id);
  if (stuck_.contains(token)) return false;
  if (granted == nullptr || queued == nullptr || granted->epoch != token.epoch || granted->worker_id != worker_id ||
      granted->input_digest != queued->input_digest || leases_.FindTask(token.job_id, token.task_id) != nullptr ||
      job.IsOfOtherClass(ClassOf(worker_id))) {
    return false;
  }
  if (const absl::Status pinned = PinNumericsClass(job, ClassOf(worker_id)); !pinned.ok()) {
    NoteStoreError("a job's numerics class", pinned);
    return false;
  }
  Lease lease;
  lease.token = token;
  lease.worker_id = worker_id;
  lease.input_digest = granted->input_digest;
  lease.granted_at = now;
  AddLease(std::move(lease));
  return true;
}

// A worker may call for ever about a task that hangs in its device or file system.
bool Coordinator::TakeBackIfStuck(const HeldLease& held, const std::string& worker_id, absl::Time now) {
  const Lease& lease = *leases_.Find(held.token);
  if (lease.progress.step != held.progress.step || lease.progress.done != held.progress.done) {
    leases_.NoteMoved(held.token, now);
    return false;
  }
  const absl::Time since = std::max(lease.granted_at, lease.moved_at);
  const auto job = jobs_.find(held.token.job_id);
  if (now - since < parts_.options.stuck_after || job == jobs_.end()) return false;
  stuck_.insert(held.token);
  const std::string reason = absl::StrCat("no progress for ", absl::FormatDuration(now - since));
  JudgeFailure(*job->second, worker_id, held.token, TaskFailure{absl::DeadlineExceededError(reason), ""}, now);
  notices_.workers.insert(worker_id);  // to be told to stop
  return true;
}

void Coordinator::RenewHeld(const SynchronizeRequest& request, absl::Time now) {
  const absl::Time expires_at = now + parts_.options.lease_duration;
  leases_.RenewAllOf(request.worker_id, expires_at);
  for (const HeldLease& held : request.held) {
    const Lease* lease = leases_.Find(held.token);
    // Silent for longer than its lease, but nobody else has begun: it goes on.
    if (lease == nullptr && Readopt(held.token, request.worker_id, now)) lease = leases_.Find(held.token);
    if (lease == nullptr || lease->worker_id != request.worker_id) continue;
    if (TakeBackIfStuck(held, request.worker_id, now)) continue;
    leases_.Renew(held.token, expires_at, held.progress);
    if (const auto job = jobs_.find(held.token.job_id); job != jobs_.end()) {
      ++job->second->version;
      notices_.jobs.insert(held.token.job_id);
    }
  }
}

// A worker cannot run more than it has slots: after a restart, or when an old message came late, it may have leases that
// it does not know of.
void Coordinator::TrimLeases(const SynchronizeRequest& request) {
  int num_surplus = leases_.NumOfWorker(request.worker_id) - request.description.slots;
  if (num_surplus <= 0) return;
  std::vector<LeaseToken> unknown;
  for (const Lease* lease : leases_.OfWorker(request.worker_id)) {
    if (!Contains(held_[request.worker_id], lease->token)) unknown.push_back(lease->token);
  }
  for (const LeaseToken& token : unknown) {
    if (num_surplus-- <= 0) break;
    EndLease(*leases_.Remove(token), AttemptEnd::kHandedBack, "its worker has no slot for it");
  }
}

// At a worker's first call: leases whose end was not durable come back with a restart, and the job may have gone on with
// workers of another class.
void Coordinator::EndLeasesOfOtherClass(const std::string& worker_id) {
  std::vector<LeaseToken> useless;
  for (const Lease* lease : leases_.OfWorker(worker_id)) {
    if (jobs_.at(lease->token.job_id)->IsOfOtherClass(ClassOf(worker_id))) useless.push_back(lease->token);
  }
  for (const LeaseToken& token : useless) {
    EndLease(*leases_.Remove(token), AttemptEnd::kHandedBack, "the job went on with workers of another numerics class");
  }
}

void Coordinator::RemoveWorker(const std::string& worker_id, AttemptEnd end, const std::string& reason, absl::Time now) {
  for (const Lease& lease : leases_.RemoveWorker(worker_id)) {
    if (end == AttemptEnd::kExpired) {
      NoteExpired(lease, reason, now);
    } else {
      EndLease(lease, end, reason);
    }
  }
  if (workers_.Find(worker_id) != nullptr) {
    const WorkerEnd how = end == AttemptEnd::kHandedBack ? WorkerEnd::kLeft : WorkerEnd::kDied;
    parts_.observer->OnWorkerGone(worker_id, how, reason);
  }
  workers_.Remove(worker_id);
  quarantine_.Forget(worker_id);
  held_.erase(worker_id);
}

// What the worker is and holds; what it finished is judged afterwards.
absl::Status Coordinator::TakeIn(const SynchronizeRequest& request, absl::Time now) {
  ESPALIER_RETURN_IF_ERROR(CheckRequest(request));
  if (request.departure == Departure::kDied) return absl::OkStatus();
  NoteWorker(request, now);
  RenewHeld(request, now);
  TrimLeases(request);
  return absl::OkStatus();
}

void Coordinator::WaitOrLeave(const SynchronizeRequest& request, absl::Time now) {
  switch (request.departure) {
    case Departure::kNone: workers_.SetWaiting(*workers_.Find(request.worker_id), !request.draining); break;
    case Departure::kLeaves:
      RemoveWorker(request.worker_id, AttemptEnd::kHandedBack, "the worker leaves", now);
      break;
    case Departure::kDied: RemoveWorker(request.worker_id, AttemptEnd::kExpired, "its process died", now); break;
  }
}

absl::StatusOr<Coordinator::SyncAnswer> Coordinator::Synchronize(absl::Time now, const SynchronizeRequest& request) {
  return std::move(SynchronizeAll(now, {&request}).front());
}

std::vector<absl::StatusOr<Coordinator::SyncAnswer>> Coordinator::SynchronizeAll(
    absl::Time now, const std::vector<const SynchronizeRequest*>& requests) {
  std::unique_lock lock(mutex_);
  LetTimePass(now);
  std::vector<absl::Status> taken_in;
  std::vector<Report> reports;
  for (size_t i = 0; i < requests.size(); ++i) {
    taken_in.push_back(TakeIn(*requests[i], now));
    if (!taken_in[i].ok() || requests[i]->departure == Departure::kDied) continue;
    for (const FinishedAttempt& finished : requests[i]->finished) {
      reports.push_back({i, &requests[i]->worker_id, &finished, std::nullopt});
    }
  }
  JudgeAll(reports, now);
  for (size_t i = 0; i < requests.size(); ++i) {
    if (taken_in[i].ok()) WaitOrLeave(*requests[i], now);
  }
  Settle(now);
  std::vector<std::vector<Verdict>> verdicts(requests.size());
  for (Report& report : reports) {
    if (report.verdict.has_value()) verdicts[report.call].push_back(*std::move(report.verdict));
  }
  std::vector<absl::StatusOr<SyncAnswer>> answers;
  for (size_t i = 0; i < requests.size(); ++i) {
    if (taken_in[i].ok()) {
      answers.push_back(AnswerTo(*requests[i], std::move(verdicts[i])));
    } else {
      answers.push_back(taken_in[i]);
    }
    notices_.workers.erase(requests[i]->worker_id);  // it hears of it now
  }
  Deliver(lock);
  return answers;
}

Coordinator::SyncAnswer Coordinator::AnswerTo(const SynchronizeRequest& request, std::vector<Verdict> verdicts) {
  SyncAnswer answer;
  WorkerEntry* worker = workers_.Find(request.worker_id);
  if (worker == nullptr) {  // gone with this call
    answer.response.verdicts = std::move(verdicts);
    answer.response.lease_duration = parts_.options.lease_duration;
    answer.response.poll_time = PollTime();
    answer.response.epoch = parts_.store->epoch();
    return answer;
  }
  const bool was_ready = worker->is_waiting;
  answer.response = Answer(*worker);
  const bool has_all_verdicts = verdicts.size() == request.finished.size();
  answer.response.verdicts = std::move(verdicts);
  const bool has_news = !answer.response.grants.empty() || !answer.response.stop.empty() || !request.finished.empty();
  const bool was_ready_to_wait = request.max_wait > absl::ZeroDuration();
  if (!has_news && was_ready_to_wait && was_ready) {
    answer.wait = std::min(request.max_wait, PollTime());
    workers_.SetWaiting(*worker, true);
    return answer;
  }
  answer.response.next_call = NextCall(*worker, answer.response, has_all_verdicts);
  // A call that did not want to wait and heard nothing new is not repeated at once.
  if (!has_news && !was_ready_to_wait) answer.response.next_call = std::max(answer.response.next_call, Pause());
  return answer;
}

// What it retains and may be needed, and what its leases will make. A state that it made while its call was under way
// belongs to one of those leases.
std::vector<StateKey> Coordinator::KeepStates(const WorkerEntry& worker) {
  std::vector<StateKey> keep;
  for (const Lease* lease : leases_.OfWorker(worker.worker_id)) {
    const JobEntry::Queued* queued = jobs_.at(lease->token.job_id)->FindQueued(lease->token.task_id);
    if (queued == nullptr) continue;
    const auto* evaluate = std::get_if<EvaluateTask>(&queued->task.payload);
    if (evaluate != nullptr && evaluate->retain) keep.push_back(*evaluate->retain);
  }
  for (const RetainedState& state : worker.states) {
    const auto found = jobs_.find(state.key.job_id);
    if (found != jobs_.end() && found->second->IsLive(state.key)) keep.push_back(state.key);
  }
  std::sort(keep.begin(), keep.end());
  keep.erase(std::unique(keep.begin(), keep.end()), keep.end());
  return keep;
}

SynchronizeResponse Coordinator::Answer(WorkerEntry& worker) {
  workers_.SetWaiting(worker, false);
  SynchronizeResponse response;
  const std::vector<LeaseToken>& held = held_[worker.worker_id];
  for (const Lease* lease : leases_.OfWorker(worker.worker_id)) {
    const JobEntry::Queued* queued = jobs_.at(lease->token.job_id)->FindQueued(lease->token.task_id);
    if (queued != nullptr && !Contains(held, lease->token)) response.grants.push_back({lease->token, queued->task});
  }
  for (const LeaseToken& token : held) {
    const Lease* lease = leases_.Find(token);
    if (lease == nullptr || lease->worker_id != worker.worker_id) response.stop.push_back(token);
  }
  response.keep_states = KeepStates(worker);
  response.lease_duration = parts_.options.lease_duration;
  response.poll_time = PollTime();
  response.epoch = parts_.store->epoch();
  response.next_call = NextCall(worker, response, true);
  return response;
}

absl::Duration Coordinator::Pause() const { return std::min(absl::Seconds(1), parts_.options.lease_duration / 3); }

absl::Duration Coordinator::NextCall(const WorkerEntry& worker, const SynchronizeResponse& response,
                                     bool has_all_verdicts) const {
  // While the store refuses a report there is no verdict; the worker repeats it, but not in a tight loop.
  if (!has_all_verdicts) return Pause();
  const int taken = leases_.NumOfWorker(worker.worker_id);
  const bool has_free_slot = taken < worker.description.slots && !worker.is_draining;
  if (has_free_slot || !response.stop.empty()) return absl::ZeroDuration();
  return taken > 0 ? HeartbeatTime() : Pause();
}

// Busy workers call this often only to be heard of. Of a large fleet each calls less often, so that it is answered in time;
// the lease stands three such calls.
absl::Duration Coordinator::HeartbeatTime() const {
  const absl::Duration shared = absl::Seconds(1) * static_cast<double>(workers_.all().size()) / kHeartbeatsPerSecond;
  return std::min(std::max(kShortestHeartbeat, shared), PollTime());
}

absl::StatusOr<SynchronizeResponse> Coordinator::Collect(absl::Time now, const std::string& worker_id) {
  const std::lock_guard lock(mutex_);
  WorkerEntry* worker = workers_.Find(worker_id);
  if (worker == nullptr) return absl::NotFoundError(absl::StrCat("worker '", worker_id, "' is not known; call again"));
  worker->last_seen = now;
  leases_.RenewAllOf(worker_id, now + parts_.options.lease_duration);
  return Answer(*worker);
}

void Coordinator::StopWaiting(absl::Time now, const std::string& worker_id) {
  const std::lock_guard lock(mutex_);
  WorkerEntry* worker = workers_.Find(worker_id);
  if (worker == nullptr) return;
  workers_.SetWaiting(*worker, false);
  worker->last_seen = now;
}

}  // namespace espalier
