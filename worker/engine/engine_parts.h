// What the tasks of one engine share: the device, the caches on it, the artifacts and the retained states; and what one
// running task has at hand.
#pragma once

#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "absl/status/statusor.h"
#include "common/artifacts/artifact_store.h"
#include "common/domain/task.h"
#include "worker/engine/bank_cache.h"
#include "worker/engine/byte_cache.h"
#include "worker/engine/device_room.h"
#include "worker/engine/engine.h"
#include "worker/engine/model_cache.h"
#include "worker/engine/progress.h"
#include "worker/engine/state_store.h"
#include "worker/engine/stream_cache.h"
#include "worker/engine/token_cache.h"
#include "worker/engine/training_memory.h"
#include "worker/engine/warm_trainers.h"
#include "worker/prune/statistics.h"
#include "worker/score/score.h"

namespace espalier {

// The most that each cache may take of a device's memory. Constant for a kind of device (and its size), so that what
// depends on it, such as whether hidden states are cached, is the same on equal workers. What a job fills of it, and what
// training gets, says PlanTraining.
struct MemoryPlan {
  int64_t models = 0;  // dense models
  int64_t bank_on_device = 0;
  int64_t banks = 0;        // of all banks, wherever they lie
  int64_t teachers = 0;     // hidden states of score windows
  int64_t streams = 0;      // hidden states of training streams
  int64_t calibration = 0;  // hidden states of a calibration pass
  int64_t live_states = 0;
  int64_t warm_trainers = 0;
  int64_t host_states = 0;
  int64_t disk_states = 0;
  int64_t total = 0;  // of the device
};
MemoryPlan PlanMemory(DeviceKind device, int64_t device_bytes, int64_t machine_bytes, const EngineOptions& options);

// What a job fills of its caches. `bank`, `streams`, `teachers`: all that it could put there, 0 for what is not kept.
ResidentBytes ResidentsWithin(const MemoryPlan& most, const ResidentBytes& job);

// Calibration passes between tasks: a worker that builds ascending layers goes on where it stands. Thread-safe.
class CalibrationPasses {
 public:
  struct Parked {
    std::string key;
    std::unique_ptr<CalibrationPass> pass;
  };
  // The pass of this key that stands nearest before (or at) the layer; null when there is none.
  std::unique_ptr<CalibrationPass> Take(const std::string& key, int layer);
  void Park(const std::string& key, std::unique_ptr<CalibrationPass> pass);
  void Clear();

 private:
  std::mutex mutex_;
  std::list<Parked> parked_;
};

// Dense hidden states that enter a layer, for units scored alone: kept for the layer used last. Thread-safe.
struct EnteringStates {
  std::mutex mutex;
  std::string key;
  int layer = 0;
  torch::Tensor hidden_WLD;  // never changed in place

  int64_t bytes();
  bool Drop();  // false when there was nothing
};

// When a recovery's state goes to the artifacts.
struct RecoveryOptions {
  double checkpoint_seconds = 60;  // 0: after every piece of the run
  double leaving_seconds = 5;      // work at least this long is saved when the task is asked to stop
  int64_t piece_steps = 0;         // steps between two looks at the clock; 0: by their speed
};

struct EngineParts {
  EngineParts(const EngineOptions& options, torch::Device device, std::unique_ptr<ArtifactStore> store);

  const EngineOptions options;
  const torch::Device device;
  const torch::ScalarType dtype;  // fp32 on CPU, bf16 on CUDA
  const MemoryPlan memory;
  const std::unique_ptr<ArtifactStore> artifacts;
  ModelCache models;
  TokenCache tokens;
  BankCache banks;
  ByteCache<TeacherStates> teachers;
  StreamCache streams;
  CalibrationPasses passes;
  EnteringStates entering;
  StateStore states;
  WarmTrainers warm_trainers;
  DeviceRoom room;
  RecoveryOptions recovery;
  std::mutex perplexity_mutex;
  std::map<std::string, double> dense_perplexities;

  // Promises `bytes` of the device to a task of a job with these residents until the promise is destroyed; what caches
  // and retained states hold beyond that leaves the device. An empty promise on CPU.
  DeviceRoom::Hold MakeRoom(int64_t bytes, const ResidentBytes& resident);

  // Everything that can be made again leaves the device; retained states move to the host.
  void EmptyDevice();
};

// One running task: its context, opened. Confined to the task's thread.
struct TaskRun {
  EngineParts& parts;
  const std::string& job_id;
  const JobContext& context;
  ProgressReporter& progress;
  std::shared_ptr<const LanguageModel> dense;
  std::string model_digest;
  std::shared_ptr<const TokenWindows> tokens;
  DeviceRoom::Hold room = {};  // promised to the task

  // The windows of a key as file indices.
  absl::StatusOr<std::vector<int64_t>> Windows(const WindowKey& key, int64_t count) const;
  // The dense model's hidden states for score windows, made once and shared.
  absl::StatusOr<std::shared_ptr<const TeacherStates>> Teacher(const WindowKey& key, int64_t count) const;
  // Names the model and the windows that the dense model is run on, for caches.
  std::string CacheKey(const std::string& windows) const;
  ScoreBatching batching() const;
  // A function that reports score progress and stops when the task is to stop.
  ScoreProgress score_progress() const;
};

// Loads and checks the model and the tokens of a context. Errors as Engine::Run states them.
absl::StatusOr<TaskRun> OpenTask(EngineParts& parts, const std::string& job_id, const JobContext& context,
                                 ProgressReporter& progress);

}  // namespace espalier
