// One life of a coordinator: the shipped core over the simulated medium. Around it, what coordinator/rpc does without
// gRPC: calls that wait, ticks, and the end when the core says that it must end.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "coordinator/core/artifact_collector.h"
#include "coordinator/core/coordinator.h"
#include "tests/simulation/ledger.h"
#include "tests/simulation/medium.h"
#include "tests/simulation/process.h"

namespace espalier::simulation {

class World;

class WorkerProcess;
class CoordinatorProcess;

struct SyncCall {
  int host = 0;
  SynchronizeRequest request;
  std::weak_ptr<WorkerProcess> worker;
  absl::Time sent_at;                    // by the worker's clock
  std::weak_ptr<CoordinatorProcess> at;  // where it arrived
  bool is_given_up = false;              // and the coordinator's side has heard of it
};

class CoordinatorProcess final : public Process,
                                 public CoordinatorListener,
                                 public std::enable_shared_from_this<CoordinatorProcess> {
 public:
  explicit CoordinatorProcess(World& world);
  ~CoordinatorProcess() override;

  // Opens the store and begins; dead afterwards when that fails.
  void Start();
  void Kill(const std::string& why);

  void OnCall(const std::shared_ptr<SyncCall>& call);
  void OnGivenUp(const std::shared_ptr<SyncCall>& call);
  // A client's call; `action` runs inside this process.
  void OnClient(const std::function<void(Coordinator&, absl::Time)>& action);
  void OnWorkersReady(const std::vector<std::string>& worker_ids) override;

  Coordinator* core() { return core_.get(); }
  SimulatedStore* store() { return store_.get(); }
  absl::Time LocalNow() const;
  bool is_busy() const { return depth_ > 0; }

 private:
  // What /metrics counts.
  struct Counter final : CoordinatorObserver {
    void OnCommitted(const LeaseToken& /*token*/, const TaskOutcome& /*outcome*/, absl::Duration /*ran*/) override {
      ++num_committed;
    }
    int64_t num_committed = 0;
  };
  struct Parked {
    std::shared_ptr<SyncCall> call;
    absl::Time until;
  };

  // Everything that the process does runs in here: it may die in the middle.
  void Run(const std::function<void()>& action);
  void Tick();
  void ScheduleTick();
  void ScheduleCollecting();
  void Collect();
  void LetOthersAct();
  void HandlePending();
  void Handle(const std::vector<std::shared_ptr<SyncCall>>& calls);
  void Conclude(const std::shared_ptr<SyncCall>& call, absl::StatusOr<Coordinator::SyncAnswer> answer);
  void Release(const std::string& worker_id);
  void Answer(const std::shared_ptr<SyncCall>& call, absl::StatusOr<SynchronizeResponse> response);
  SynchronizeRequest Received(const SynchronizeRequest& request);

  World& world_;
  LocalClock clock_;
  int depth_ = 0;
  Counter counter_;
  int64_t outcomes_before_ = 0;
  std::unique_ptr<SimulatedStore> store_;
  std::unique_ptr<Coordinator> core_;
  std::unique_ptr<ArtifactCollector> collector_;
  std::map<std::string, Parked> parked_;
  // Calls that arrive while it is busy for so long are handled together.
  absl::Duration busy_time_;
  std::vector<std::shared_ptr<SyncCall>> pending_;
};

}  // namespace espalier::simulation
