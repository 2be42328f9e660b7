// A whole installation under driven time: coordinators over one medium, hosts with workers, a client, and a nemesis.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tests/simulation/client.h"
#include "tests/simulation/context.h"
#include "tests/simulation/coordinator_process.h"
#include "tests/simulation/ledger.h"
#include "tests/simulation/medium.h"
#include "tests/simulation/network.h"
#include "tests/simulation/worker_process.h"

namespace espalier::simulation {

struct Outcome {
  std::optional<Violation> violation;
  uint64_t history_hash = 0;
  int64_t num_steps = 0;
  int64_t num_commits = 0;
  int64_t num_attempts = 0;
  int64_t num_expired = 0;
  int64_t num_stuck = 0;      // leases without progress that were taken away
  int64_t num_collected = 0;  // artifacts
  int64_t num_class_changes = 0;  // jobs that went on with another numerics class than that of their first lease
  int64_t num_epochs = 0;
  int num_jobs = 0;
  int num_results = 0;  // compared with an undisturbed run's
  int num_workers = 0;  // processes
  absl::Duration virtual_time;
  std::map<Fault, int> faults;  // how often each had its effect
};

class World {
 public:
  World(Profile profile, Defect defect, bool prints);
  ~World();

  Outcome Run();

  // For the parts.
  void SendToCoordinator(int host, std::function<void(CoordinatorProcess&)> action, std::function<void()> refused);
  void OnCoordinatorDied(CoordinatorProcess* process);
  void OnWorkerEnded(WorkerProcess* worker);
  bool IsLeader(const CoordinatorProcess* process) const { return leader() == process; }
  void SwallowNextUpdate();

  Context context;
  Medium medium;
  SimulatedArtifacts artifacts;
  Ledger ledger;
  Network network;

 private:
  CoordinatorProcess* leader() const { return coordinators_.empty() ? nullptr : coordinators_.back().get(); }
  void StartCoordinator();
  void StartWorker(int host);
  void Heal();
  bool IsQuiet() const;
  void RunUntilQuiet(absl::Time limit);

  // nemesis.cc
  void ScheduleNemesis();
  void Strike(Fault fault);
  void StrikeFleet(Fault fault);
  void StrikeCoordinator(Fault fault);
  void StrikeNetwork(Fault fault);
  std::shared_ptr<WorkerProcess> AnyWorker();
  void PauseFor(std::shared_ptr<Process> process, absl::Duration length);

  Client client_;
  std::vector<std::shared_ptr<CoordinatorProcess>> coordinators_;  // alive or not; the newest leads
  std::vector<std::shared_ptr<WorkerProcess>> workers_;            // by host
  std::vector<std::shared_ptr<WorkerProcess>> ended_;
  int num_workers_started_ = 0;
  bool has_classes_ = false;
  Outcome outcome_;
};

// One seed.
Outcome Simulate(const Profile& profile, Defect defect, bool prints);

}  // namespace espalier::simulation
