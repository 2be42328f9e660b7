// An engine without tensors: fitness is a closed formula of the mask, whose optimum is known, and falls with training.
// Its results depend only on the task, so searches can be compared bit by bit whatever ran them.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "common/artifacts/artifact_store.h"
#include "worker/engine/engine.h"

namespace espalier::testing {

struct FakeEngineOptions {
  int num_slots = 1;
  absl::Duration task_time = absl::ZeroDuration();  // each task takes so long, in small steps that look at `stop`
  DeviceKind device = DeviceKind::kCpu;
  bool tells_nonsense = false;  // evaluations report a divergence below zero, as a faulty card might
};

// Removing a share r of a unit costs weight * r^2, where the weight falls from layer to layer and is larger for
// attention.
double FakeFitness(const Ladder& ladder, const Mask& mask, int64_t trained_tokens);

class FakeEngine final : public Engine {
 public:
  // Bank layers and exports are stored in `artifacts` (small files of text); null: nothing is stored.
  FakeEngine(FakeEngineOptions options, std::unique_ptr<ArtifactStore> artifacts);

  absl::StatusOr<TaskOutcome> Run(const Task& task, const ProgressFunction& progress, std::stop_token stop) override;
  std::vector<RetainedState> ListStates() const override;
  void KeepOnly(const std::vector<StateKey>& keep) override;
  DeviceDescription Describe() const override;
  int num_slots() const override { return options_.num_slots; }

  int num_runs() const;

 private:
  absl::StatusOr<TaskOutcome> BankLayer(const Task& task, const BankLayerTask& payload);
  TaskOutcome AdditiveUnit(const Task& task, const AdditiveUnitTask& payload);
  TaskOutcome Evaluate(const Task& task, const EvaluateTask& payload);
  absl::StatusOr<TaskOutcome> Finish(const Task& task, const FinishTask& payload);
  absl::StatusOr<std::string> Store(const std::string& content);

  const FakeEngineOptions options_;
  const std::unique_ptr<ArtifactStore> artifacts_;
  mutable std::mutex mutex_;
  std::vector<RetainedState> states_;  // guarded by mutex_
  int num_runs_ = 0;                   // guarded by mutex_
};

}  // namespace espalier::testing
