#include "worker/session/worker_session.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "common/base/sha256.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"

namespace espalier {
namespace {

constexpr absl::Duration kAnswerTime = absl::Seconds(10);  // on top of the time that the answer may wait
constexpr absl::Duration kShortestCall = absl::Milliseconds(100);
constexpr absl::Duration kLongestWait = absl::Milliseconds(200);  // so that time is looked at often enough to fence

bool IsRefusal(const absl::Status& status) {
  return absl::IsFailedPrecondition(status) || absl::IsPermissionDenied(status) || absl::IsUnauthenticated(status) ||
         absl::IsUnimplemented(status);
}

// OK holds an empty outcome. Where a path lies is this machine's matter: another worker may be allowed to open it.
absl::StatusOr<TaskOutcome> CheckPaths(const PathRoots& roots, const Task& task) {
  const JobContext& context = task.context;
  ESPALIER_RETURN_IF_ERROR(roots.Check("model_folder", context.model_folder));
  ESPALIER_RETURN_IF_ERROR(roots.Check("tokens_path", context.tokens_path));
  if (!context.evaluation_path.empty()) {
    ESPALIER_RETURN_IF_ERROR(roots.Check("evaluation_path", context.evaluation_path));
  }
  return TaskOutcome();
}

uint64_t JitterSeed(const std::string& worker_id) {
  return std::stoull(Sha256Hex(worker_id).substr(0, 15), nullptr, 16);
}

}  // namespace

WorkerSession::WorkerSession(Engine& engine, CoordinatorClient& client, const Clock& clock, std::string worker_id,
                             WorkerDescription description, SessionOptions options, SessionObserver* observer)
    : engine_(engine),
      client_(client),
      clock_(clock),
      options_(std::move(options)),
      observer_(observer),
      state_(worker_id, description, JitterSeed(worker_id)) {
  state_.set_longest_back_off(options_.longest_back_off);
  for (int slot = 0; slot < description.slots; ++slot) slots_.emplace_back();
  for (int slot = 0; slot < description.slots; ++slot)
    slots_[slot].thread = std::thread([this, slot] { RunSlot(slot); });
}

WorkerSession::~WorkerSession() {
  {
    std::lock_guard lock(mutex_);
    for (EngineSlot& slot : slots_) {
      slot.is_shutting_down = true;
      slot.stop.request_stop();
    }
  }
  changed_.notify_all();
  for (EngineSlot& slot : slots_) slot.thread.join();
}

absl::Status WorkerSession::Run() {
  std::unique_lock lock(mutex_);
  while (true) {
    Apply(state_.Tick(clock_.Now()));
    if (ShouldLeave()) return absl::OkStatus();
    if (clock_.Now() >= state_.next_call()) {
      ESPALIER_RETURN_IF_ERROR(Call(lock));
    } else {
      WaitForNextEvent(lock);
    }
  }
}

bool WorkerSession::ShouldLeave() {
  if (has_said_farewell_) return true;
  return state_.is_draining() && failed_calls_ > 0 && state_.num_running() == 0 &&
         clock_.Now() - drain_began_ > options_.farewell;
}

absl::Status WorkerSession::Call(std::unique_lock<std::mutex>& lock) {
  is_woken_ = false;
  const SynchronizeRequest request = state_.NextRequest(engine_.ListStates());
  is_calling_ = true;
  const absl::Time sent_at = clock_.Now();
  const absl::Duration limit = LimitOf(request, sent_at);
  lock.unlock();
  const absl::StatusOr<SynchronizeResponse> reply = client_.Synchronize(request, limit);
  if (reply.ok()) engine_.KeepOnly(reply->keep_states);
  lock.lock();
  is_calling_ = false;
  const absl::Time now = clock_.Now();
  if (reply.ok()) {
    const int64_t failed_before = std::exchange(failed_calls_, 0);
    has_said_farewell_ = request.departure == Departure::kLeaves;
    Apply(state_.OnReply(sent_at, now, request, *reply));
    if (observer_ != nullptr) observer_->OnConnected(failed_before);
    return absl::OkStatus();
  }
  if (absl::IsCancelled(reply.status())) {
    state_.OnCallCancelled(now);
    return absl::OkStatus();
  }
  if (observer_ != nullptr) observer_->OnCallFailed(reply.status());
  if (IsRefusal(reply.status())) return reply.status();
  ++failed_calls_;
  state_.OnCallFailed(now);
  return absl::OkStatus();
}

// A call that is not answered must not keep this thread from stopping what it may no longer run.
absl::Duration WorkerSession::LimitOf(const SynchronizeRequest& request, absl::Time now) const {
  return std::clamp(state_.next_tick() - now, kShortestCall, request.max_wait + kAnswerTime);
}

void WorkerSession::WaitForNextEvent(std::unique_lock<std::mutex>& lock) {
  const absl::Time now = clock_.Now();
  const absl::Duration wait =
      std::clamp(std::min(state_.next_call(), state_.next_tick()) - now, absl::ZeroDuration(), kLongestWait);
  changed_.wait_for(lock, absl::ToChronoNanoseconds(wait), [this] { return is_woken_; });
  is_woken_ = false;
}

void WorkerSession::Apply(const SessionActions& actions) {
  for (const int slot : actions.cancel) {
    slots_[slot].stop.request_stop();
    if (observer_ != nullptr) observer_->OnTaskCancelled(slot);
  }
  for (const SessionActions::Start& start : actions.start) {
    slots_[start.slot].stop = std::stop_source();
    slots_[start.slot].task = start.task;
  }
  if (!actions.start.empty()) changed_.notify_all();
}

// Called with the lock held.
void WorkerSession::Wake() {
  is_woken_ = true;
  if (is_calling_) client_.CancelCall();
  changed_.notify_all();
}

void WorkerSession::RunSlot(int slot) {
  std::unique_lock lock(mutex_);
  EngineSlot& own = slots_[slot];
  while (true) {
    changed_.wait(lock, [&own] { return own.task.has_value() || own.is_shutting_down; });
    if (own.is_shutting_down) return;
    const Task task = *std::exchange(own.task, std::nullopt);
    const std::stop_token stop = own.stop.get_token();
    lock.unlock();
    if (observer_ != nullptr) observer_->OnTaskStarted(task);
    const absl::Time began = clock_.Now();
    const ProgressFunction on_progress = [this, slot, &task](const TaskProgress& progress) {
      if (observer_ != nullptr) observer_->OnTaskProgress(task, progress);
      std::lock_guard progress_lock(mutex_);
      state_.OnProgress(slot, progress);
    };
    const auto on_full = [&](const absl::Status& status, absl::Duration wait) {
      if (observer_ != nullptr) observer_->OnDiskFull(task, status, wait);
    };
    absl::StatusOr<TaskOutcome> outcome = CheckPaths(options_.roots, task);
    if (outcome.ok()) outcome = RunPatiently(engine_, task, on_progress, stop, options_.disk_patience, on_full);
    if (observer_ != nullptr) observer_->OnTaskEnded(task, outcome, clock_.Now() - began);
    lock.lock();
    state_.OnFinished(clock_.Now(), slot, std::move(outcome));
    Wake();
  }
}

void WorkerSession::Drain() {
  std::lock_guard lock(mutex_);
  drain_began_ = std::min(drain_began_, clock_.Now());
  state_.Drain(clock_.Now(), options_.drain_grace);
  Wake();
}

void WorkerSession::Force() {
  std::lock_guard lock(mutex_);
  drain_began_ = std::min(drain_began_, clock_.Now());
  state_.Drain(clock_.Now(), absl::ZeroDuration());
  Apply(state_.Force());
  Wake();
}

}  // namespace espalier
