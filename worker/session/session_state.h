// The worker's side of Synchronize as a state machine over (reply, engine event, time): no threads, no clock, no
// network. WorkerSession drives it. Confined to one thread at a time.
#pragma once

#include <cstdint>
#include <map>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/domain/synchronize.h"

namespace espalier {

// What the driver does after an event.
struct SessionActions {
  struct Start {
    int slot = 0;
    Task task;
  };
  std::vector<Start> start;
  std::vector<int> cancel;  // slots whose task must stop
};

class SessionState {
 public:
  SessionState(std::string worker_id, WorkerDescription description, uint64_t jitter_seed);

  // The next call's content. `states` is what the engine holds now.
  SynchronizeRequest NextRequest(std::vector<RetainedState> states);

  // `sent_at`: the time just before the call was sent, from which the lease term counts.
  SessionActions OnReply(absl::Time sent_at, absl::Time now, const SynchronizeRequest& request,
                         const SynchronizeResponse& reply);
  // Sets the next call by exponential back-off with jitter.
  void OnCallFailed(absl::Time now);
  // Where another coordinator takes over soon, calls must not come rarely.
  void set_longest_back_off(absl::Duration longest) { longest_back_off_ = longest; }
  // The driver itself ended a parked call, to send news at once.
  void OnCallCancelled(absl::Time now);

  void OnProgress(int slot, const TaskProgress& progress);
  void OnFinished(absl::Time now, int slot, absl::StatusOr<TaskOutcome> outcome);

  // Draining: no new tasks; what runs may finish within the grace, then it is handed back. Forcing: handed back at
  // once.
  void Drain(absl::Time now, absl::Duration grace);
  SessionActions Force();

  // Self-fencing and the end of the drain's grace: what to cancel by now.
  SessionActions Tick(absl::Time now);

  absl::Time next_call() const { return next_call_; }
  // When Tick has something to do; InfiniteFuture when nothing runs.
  absl::Time next_tick() const;
  // Draining, nothing runs and every outcome is acknowledged: one last call that says so, then the process ends.
  bool is_drained() const;
  bool is_draining() const { return is_draining_; }
  int num_running() const;

 private:
  struct Slot {
    bool is_taken = false;
    LeaseToken token;
    TaskProgress progress;
    absl::Time fenced_at;       // by then the coordinator may have given the task to another worker
    bool is_cancelled = false;  // asked to stop; its slot stays taken until the engine has returned
    bool is_dropped = false;    // the coordinator does not want it: its outcome is not reported
  };

  void StopUnwanted(const SynchronizeResponse& reply, SessionActions& actions);
  void StartGranted(absl::Time sent_at, const SynchronizeResponse& reply, SessionActions& actions);

  // Constant.
  const std::string worker_id_;
  const WorkerDescription description_;
  // Always set.
  std::mt19937_64 jitter_;
  std::vector<Slot> slots_;
  std::vector<FinishedAttempt> unacknowledged_;
  absl::Time next_call_ = absl::InfinitePast();
  absl::Duration lease_duration_ = absl::Seconds(5);  // as last told
  absl::Duration poll_time_ = absl::ZeroDuration();   // as last told; the first call does not park
  int failures_in_a_row_ = 0;
  bool has_unsent_news_ = false;  // something happened since the last request was made
  absl::Duration longest_back_off_ = absl::Seconds(5);
  // Only while draining.
  bool is_draining_ = false;
  absl::Time hand_back_at_ = absl::InfiniteFuture();
};

// The first run of exactly 64 hexadecimal digits in a message: the artifact that an engine's kDataLoss names.
std::string FindDigest(std::string_view text);

}  // namespace espalier
