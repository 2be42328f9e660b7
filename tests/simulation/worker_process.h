// One life of a worker: the shipped SessionState, driven as WorkerSession drives it but by virtual time, over an engine
// that answers by a formula after a drawn time.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/simulation/coordinator_process.h"
#include "tests/simulation/process.h"
#include "worker/session/session_state.h"

namespace espalier::simulation {

class WorkerProcess final : public Process, public std::enable_shared_from_this<WorkerProcess> {
 public:
  WorkerProcess(World& world, int host, std::string worker_id, WorkerDescription description);

  void Start();
  void Kill(const std::string& why);
  void Drain(absl::Duration grace);
  // An answer arrives; its worker may be no more.
  static void Receive(const std::shared_ptr<SyncCall>& call, const absl::StatusOr<SynchronizeResponse>& reply);

  const std::string& id() const { return worker_id_; }
  const WorkerDescription& description() const { return description_; }
  int host() const { return host_; }
  // Attempts that it may report, for a thief to copy.
  const std::vector<FinishedAttempt>& computed() const { return computed_; }

  // What nemesis changes.
  double slowness = 1;
  bool is_stuck = false;
  bool is_black_hole = false;
  bool is_liar = false;
  std::vector<FinishedAttempt> stolen;  // reported once

 private:
  struct Slot {
    int run = 0;  // which run of the slot; old actions of an earlier one do nothing
    std::optional<Task> task;
    bool is_stopping = false;
    absl::Time begun_at;
    LeaseToken token;
  };

  absl::Time Now() const;
  void Poll();
  void SchedulePoll(absl::Time local_at);
  void Call();
  void GiveUpCall();
  void OnAnswer(const std::shared_ptr<SyncCall>& call, const absl::StatusOr<SynchronizeResponse>& reply);
  void Apply(const SessionActions& actions, const SynchronizeResponse* reply);
  void Begin(int slot, const Task& task);
  void Stop(int slot);
  void End(int slot, int run, absl::StatusOr<TaskOutcome> outcome);
  void Compute(int slot, int run);
  absl::StatusOr<TaskOutcome> Outcome(const Task& task);
  void CheckFence(int index);

  World& world_;
  const int host_;
  const std::string worker_id_;
  const WorkerDescription description_;
  LocalClock clock_;
  SessionState state_;
  std::vector<Slot> slots_;
  std::vector<RetainedState> states_;
  std::vector<FinishedAttempt> computed_;
  std::shared_ptr<SyncCall> call_;  // under way
  int64_t poll_number_ = 0;
  int64_t failed_calls_ = 0;
  absl::Time drain_began_ = absl::InfiniteFuture();
  absl::Time last_renewal_ = absl::InfinitePast();  // when the last answered call was sent
};

}  // namespace espalier::simulation
