// The engine runs tasks. This header names none of LibTorch's types: the session, the worker's main and the tests' fake
// engine see only this.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/domain/task.h"
#include "common/domain/task_progress.h"

namespace espalier {

// Called by the engine from its own thread; must not block.
using ProgressFunction = std::function<void(const TaskProgress&)>;

struct DeviceDescription {
  DeviceKind kind = DeviceKind::kCpu;
  std::string name;          // "NVIDIA H200", or the CPU's model name
  int64_t memory_bytes = 0;  // of the device; of the machine on CPU
  std::string numerics_class;  // device kind, number format, engine version, instruction set: equal text, equal results
};

class Engine {
 public:
  virtual ~Engine() = default;

  // Runs to the end, until `stop` is asked for (kCancelled) or until it cannot go on. A mask that cannot be run is an OK
  // Measurement with feasible == false; kInvalidArgument and kFailedPrecondition mean that the task can never succeed
  // (bad model file, other digest); kDataLoss that an artifact is damaged (its digest is in the message); other codes that
  // another attempt may succeed. Thread-safe as far as num_slots() goes.
  virtual absl::StatusOr<TaskOutcome> Run(const Task& task, const ProgressFunction& progress, std::stop_token stop) = 0;

  // Retained training states: what is held, and what may be dropped (all that are not in `keep`).
  virtual std::vector<RetainedState> ListStates() const = 0;
  virtual void KeepOnly(const std::vector<StateKey>& keep) = 0;

  virtual DeviceDescription Describe() const = 0;
  virtual int num_slots() const = 0;  // tasks that may run at once
};

struct EngineOptions {
  std::string artifact_folder;    // or "s3://BUCKET/PREFIX"
  std::string artifact_endpoint;  // of object storage; empty: the environment's, else AWS's
  DeviceKind device = DeviceKind::kCpu;
  int device_index = 0;
  int num_slots = 1;
  int64_t device_memory_bytes = 0;  // what tensors may take of the device's memory; 0: all of it
  int64_t state_memory_bytes = 0;  // for retained states in host memory; 0: a quarter of the machine's
  // Trains by eager steps over pieces at their own lengths: what the fast ways are compared with. Several times slower.
  bool plain_training = false;
};

// kFailedPrecondition when the device is not there.
absl::StatusOr<std::unique_ptr<Engine>> MakeTorchEngine(const EngineOptions& options);

}  // namespace espalier
