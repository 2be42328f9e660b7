// Somebody who submits jobs, repeats every call until it is answered, changes his mind, and reads the results.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "coordinator/core/coordinator.h"
#include "tests/simulation/context.h"

namespace espalier::simulation {

class World;

class Client {
 public:
  explicit Client(World& world) : world_(world) {}

  void Start();
  bool is_done() const { return num_open_ == 0; }
  int num_submitted() const { return num_submitted_; }

 private:
  struct Job {
    int number = 0;
    int catalog = 0;
    std::string request_id;
    std::string job_id;  // empty until known
    bool is_over = false;
    bool is_to_be_deleted = false;
  };
  using Action = std::function<absl::StatusOr<JobView>(Coordinator&, absl::Time)>;
  using Done = std::function<void(const absl::StatusOr<JobView>&)>;

  void Submit(absl::Duration after);
  void Create(const std::shared_ptr<Job>& job);
  void PlanOperations(const std::shared_ptr<Job>& job);
  void Pause(const std::shared_ptr<Job>& job);
  void Resume(const std::shared_ptr<Job>& job);
  void Cancel(const std::shared_ptr<Job>& job);
  void Delete(const std::shared_ptr<Job>& job);
  void Watch(const std::shared_ptr<Job>& job);
  void Over(const std::shared_ptr<Job>& job);
  // Repeats the call until it has an answer that is one. `held` lives as long as a copy of the call may still arrive.
  void Ask(Action action, Done done, std::shared_ptr<void> held = nullptr);
  absl::Time WallClock();

  World& world_;
  int num_submitted_ = 0;
  int num_open_ = 0;
};

}  // namespace espalier::simulation
