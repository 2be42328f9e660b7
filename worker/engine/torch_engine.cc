// The engine: runs tasks on one device, with everything they share.
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <exception>
#include <mutex>
#include <shared_mutex>
#include <utility>
#include <variant>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "worker/engine/engine.h"
#include "worker/engine/engine_parts.h"
#include "worker/engine/tasks.h"
#include "worker/model/device_runtime.h"
#include "worker/model/slot_streams.h"

namespace espalier {
namespace {

// Raised with every change of what a task computes, so that results of different engines are never mixed in one job.
constexpr int kEngineVersion = 5;

// The other meaning of kResourceExhausted: no empty device helps.
bool IsFullDisk(const absl::Status& status) {
  return absl::StrContains(status.message(), std::strerror(ENOSPC)) ||
         absl::StrContains(status.message(), std::strerror(EDQUOT));
}

struct WaitForStream {
  torch::Device device;
  ~WaitForStream() {
    try {
      SynchronizeCurrentStream(device);
    } catch (const std::exception&) {  // a lost device: the next call reports it
    }
  }
};

class TorchEngine final : public Engine {
 public:
  TorchEngine(const EngineOptions& options, torch::Device device, std::unique_ptr<ArtifactStore> store)
      : parts_(options, device, std::move(store)), streams_(device) {}

  absl::StatusOr<TaskOutcome> Run(const Task& task, const ProgressFunction& progress, std::stop_token stop) override;

  std::vector<RetainedState> ListStates() const override { return parts_.states.List(); }
  void KeepOnly(const std::vector<StateKey>& keep) override { parts_.states.KeepOnly(keep); }
  DeviceDescription Describe() const override;
  int num_slots() const override { return parts_.options.num_slots; }

 private:
  // Exceptions end here.
  absl::StatusOr<TaskOutcome> Attempt(const Task& task, ProgressReporter& progress);
  absl::StatusOr<TaskOutcome> Dispatch(const Task& task, ProgressReporter& progress);

  EngineParts parts_;
  SlotStreams streams_;
  // Tasks share the device; one that ran out of memory has it alone for its second try.
  std::shared_mutex device_mutex_;
  std::mutex cpu_mutex_;  // on CPU one task runs at a time, with the threads that its job says
};

absl::StatusOr<TaskOutcome> TorchEngine::Dispatch(const Task& task, ProgressReporter& progress) {
  ESPALIER_RETURN_IF_ERROR(progress.CheckStop());
  parts_.states.Sweep();
  if (task.kind() != TaskKind::kBankLayer) parts_.passes.Clear();
  ESPALIER_ASSIGN_OR_RETURN(TaskRun run, OpenTask(parts_, task.job_id, task.context, progress));
  const WaitForStream wait{parts_.device};  // before what the task holds of the caches goes
  switch (task.kind()) {
    case TaskKind::kBankLayer: return RunBankLayer(run, std::get<BankLayerTask>(task.payload));
    case TaskKind::kAdditiveUnit: return RunAdditiveUnit(run, std::get<AdditiveUnitTask>(task.payload));
    case TaskKind::kEvaluate: return RunEvaluate(run, std::get<EvaluateTask>(task.payload));
    case TaskKind::kFinish: return RunFinish(run, std::get<FinishTask>(task.payload));
  }
  return absl::InternalError("a task of an unknown kind");
}

absl::StatusOr<TaskOutcome> TorchEngine::Attempt(const Task& task, ProgressReporter& progress) {
  try {
    UseDevice(parts_.device);
    SetComputeThreads(std::max(task.context.cpu_threads, 1));
    const SlotStreams::Use stream(streams_);
    absl::StatusOr<TaskOutcome> outcome = Dispatch(task, progress);
    if (absl::IsInternal(outcome.status()))
      EndProcessIfDeviceIsLost(parts_.device, ToString(outcome.status().message()));
    return outcome;
  } catch (...) {
    return StatusOfCurrentException(parts_.device);
  }
}

absl::StatusOr<TaskOutcome> TorchEngine::Run(const Task& task, const ProgressFunction& progress, std::stop_token stop) {
  std::unique_lock<std::mutex> cpu_lock(cpu_mutex_, std::defer_lock);
  if (!parts_.device.is_cuda()) cpu_lock.lock();
  ProgressReporter reporter(progress, std::move(stop));
  absl::StatusOr<TaskOutcome> outcome;
  {
    std::shared_lock together(device_mutex_);
    outcome = Attempt(task, reporter);
  }
  if (!absl::IsResourceExhausted(outcome.status()) || IsFullDisk(outcome.status())) return outcome;

  std::unique_lock alone(device_mutex_);
  parts_.EmptyDevice();
  outcome = Attempt(task, reporter);
  if (!absl::IsResourceExhausted(outcome.status()) || IsFullDisk(outcome.status())) return outcome;
  const std::string reason = absl::StrCat("out of memory on an otherwise empty device (", DeviceName(parts_.device),
                                          ", ", parts_.memory.total, " bytes): ", ToString(outcome.status().message()));
  parts_.EmptyDevice();
  if (task.kind() != TaskKind::kEvaluate) return absl::ResourceExhaustedError(reason);
  Measurement measurement;
  measurement.feasible = false;
  measurement.infeasible_reason = reason;
  measurement.peak_bytes = PeakDeviceBytes(parts_.device);
  return measurement;
}

DeviceDescription TorchEngine::Describe() const {
  const bool is_cuda = parts_.device.is_cuda();
  DeviceDescription description;
  description.kind = is_cuda ? DeviceKind::kCuda : DeviceKind::kCpu;
  description.name = DeviceName(parts_.device);
  description.memory_bytes = parts_.memory.total;
  description.numerics_class = absl::StrCat(is_cuda ? "cuda bfloat16" : "cpu float32", " engine ", kEngineVersion,
                                            " torch ", TorchVersion(), " ", InstructionSet(parts_.device));
  return description;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Engine>> MakeTorchEngine(const EngineOptions& options) {
  InitTorch();
  EngineOptions resolved = options;
  resolved.num_slots = options.device == DeviceKind::kCpu ? 1 : std::max(options.num_slots, 1);
  try {
    ESPALIER_ASSIGN_OR_RETURN(const torch::Device device, OpenDevice(options.device, options.device_index));
    ESPALIER_ASSIGN_OR_RETURN(std::unique_ptr<ArtifactStore> store, OpenArtifactStore(options.artifact_folder, options.artifact_endpoint));
    UseDevice(device);
    if (options.device_memory_bytes > 0) LimitDeviceMemory(device, options.device_memory_bytes);
    return std::make_unique<TorchEngine>(resolved, device, std::move(store));
  } catch (...) {
    return StatusOfCurrentException(torch::kCPU);
  }
}

}  // namespace espalier
