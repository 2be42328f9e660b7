// Runs one worker: the calling thread talks to the coordinator, one thread for each slot runs the engine.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "common/security/path_roots.h"
#include "worker/engine/engine.h"
#include "worker/session/coordinator_client.h"
#include "worker/session/disk_patience.h"
#include "worker/session/session_state.h"

namespace espalier {

struct SessionOptions {
  absl::Duration drain_grace = absl::Seconds(30);  // a running task may take so long to finish after Drain
  // A draining worker that cannot reach the coordinator leaves after this time; its leases then expire.
  absl::Duration farewell = absl::Seconds(5);
  DiskPatience disk_patience;
  absl::Duration longest_back_off = absl::Seconds(5);  // between calls that find no coordinator
  PathRoots roots;  // a task that names a file elsewhere ends with kPermissionDenied before the engine sees it
};

// What happened, for logs and metrics. Called from the session's threads; must not block nor call the session.
class SessionObserver {
 public:
  virtual ~SessionObserver() = default;
  virtual void OnConnected(int64_t /*calls_failed_before*/) {}
  virtual void OnCallFailed(const absl::Status& /*status*/) {}
  virtual void OnTaskStarted(const Task& /*task*/) {}
  virtual void OnTaskProgress(const Task& /*task*/, const TaskProgress& /*progress*/) {}
  virtual void OnTaskEnded(const Task& /*task*/, const absl::StatusOr<TaskOutcome>& /*outcome*/,
                           absl::Duration /*taken*/) {}
  virtual void OnTaskCancelled(int /*slot*/) {}
  virtual void OnDiskFull(const Task& /*task*/, const absl::Status& /*status*/, absl::Duration /*wait*/) {}
};

class WorkerSession {
 public:
  // All must outlive the session; `observer` may be null.
  WorkerSession(Engine& engine, CoordinatorClient& client, const Clock& clock, std::string worker_id,
                WorkerDescription description, SessionOptions options, SessionObserver* observer);
  ~WorkerSession();
  WorkerSession(const WorkerSession&) = delete;
  WorkerSession& operator=(const WorkerSession&) = delete;

  // Until the worker has drained (OK) or is refused for good (kFailedPrecondition and the coordinator's sentence).
  absl::Status Run();

  // From any thread, e.g. the one that waits for signals. Drain: finish or hand back, then leave. Force: hand back at
  // once.
  void Drain();
  void Force();

 private:
  struct EngineSlot {
    std::optional<Task> task;  // handed over to the thread
    std::stop_source stop;
    bool is_shutting_down = false;
    std::thread thread;
  };

  void RunSlot(int slot);
  void Apply(const SessionActions& actions);
  absl::Status Call(std::unique_lock<std::mutex>& lock);
  absl::Duration LimitOf(const SynchronizeRequest& request, absl::Time now) const;
  void WaitForNextEvent(std::unique_lock<std::mutex>& lock);
  bool ShouldLeave();
  void Wake();

  Engine& engine_;
  CoordinatorClient& client_;
  const Clock& clock_;
  const SessionOptions options_;
  SessionObserver* const observer_;

  std::mutex mutex_;
  std::condition_variable changed_;
  SessionState state_;                               // guarded by mutex_
  std::deque<EngineSlot> slots_;                     // guarded by mutex_, but for the threads themselves
  bool is_calling_ = false;                          // guarded by mutex_
  bool is_woken_ = false;                            // guarded by mutex_: an event that the next wait must not miss
  int64_t failed_calls_ = 0;                         // guarded by mutex_, in a row
  absl::Time drain_began_ = absl::InfiniteFuture();  // guarded by mutex_
  bool has_said_farewell_ = false;                   // guarded by mutex_
};

}  // namespace espalier
