#include "worker/engine/engine_parts.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/domain/sequence_length.h"
#include "worker/model/device_runtime.h"
#include "worker/train/step_graph.h"

namespace espalier {
namespace {

constexpr int64_t kGiB = int64_t{1} << 30;

int64_t Share(int64_t bytes, int percent) { return bytes / 100 * percent; }

}  // namespace

MemoryPlan PlanMemory(DeviceKind device, int64_t device_bytes, int64_t machine, const EngineOptions& options) {
  MemoryPlan plan;
  plan.total = device_bytes;
  if (options.device_memory_bytes > 0) plan.total = std::min(plan.total, options.device_memory_bytes);
  plan.host_states = options.state_memory_bytes > 0 ? options.state_memory_bytes : machine / 4;
  plan.disk_states = 64 * kGiB;
  plan.banks = machine / 4;
  if (device == DeviceKind::kCuda) {
    plan.models = Share(plan.total, 30);
    plan.bank_on_device = Share(plan.total, 15);
    plan.teachers = Share(plan.total, 6);
    plan.streams = Share(plan.total, 12);
    plan.calibration = Share(plan.total, 20);
    plan.live_states = Share(plan.total, 25);
    plan.warm_trainers = Share(plan.total, 8);
  } else {
    // Whether a stream's hidden states are cached decides the last bits of a loss, so on CPUs it is the same
    // everywhere.
    plan.models = machine / 4;
    plan.bank_on_device = plan.banks;
    plan.teachers = kGiB;
    plan.streams = 2 * kGiB;
    plan.calibration = 0;
    plan.live_states = plan.host_states;
  }
  return plan;
}

ResidentBytes ResidentsWithin(const MemoryPlan& most, const ResidentBytes& job) {
  ResidentBytes bytes = job;
  bytes.bank = std::min(job.bank, most.bank_on_device);
  bytes.streams = job.streams <= most.streams ? job.streams : 0;
  // A task knows its own score windows only. Rounded up, the stages of a job come to the same plan.
  bytes.teachers = std::min((job.teachers + kGiB - 1) / kGiB * kGiB, most.teachers);
  return bytes;
}

std::unique_ptr<CalibrationPass> CalibrationPasses::Take(const std::string& key, int layer) {
  std::lock_guard lock(mutex_);
  auto best = parked_.end();
  for (auto parked = parked_.begin(); parked != parked_.end(); ++parked) {
    const int position = parked->pass->position();
    if (parked->key != key || position > layer) continue;
    if (best == parked_.end() || position > best->pass->position()) best = parked;
  }
  if (best == parked_.end()) return nullptr;
  std::unique_ptr<CalibrationPass> pass = std::move(best->pass);
  parked_.erase(best);
  return pass;
}

void CalibrationPasses::Park(const std::string& key, std::unique_ptr<CalibrationPass> pass) {
  std::lock_guard lock(mutex_);
  parked_.remove_if([&](const Parked& parked) { return parked.key != key; });
  parked_.push_back({key, std::move(pass)});
}

void CalibrationPasses::Clear() {
  std::lock_guard lock(mutex_);
  parked_.clear();
}

int64_t EnteringStates::bytes() {
  const std::lock_guard lock(mutex);
  return hidden_WLD.defined() ? static_cast<int64_t>(hidden_WLD.nbytes()) : 0;
}

bool EnteringStates::Drop() {
  const std::lock_guard lock(mutex);
  key.clear();
  return std::exchange(hidden_WLD, torch::Tensor()).defined();
}

EngineParts::EngineParts(const EngineOptions& engine_options, torch::Device on, std::unique_ptr<ArtifactStore> store)
    : options(engine_options),
      device(on),
      dtype(on.is_cuda() ? torch::kBFloat16 : torch::kFloat32),
      memory(PlanMemory(on.is_cuda() ? DeviceKind::kCuda : DeviceKind::kCpu, DeviceMemoryBytes(on),
                        DeviceMemoryBytes(torch::kCPU), engine_options)),
      artifacts(std::move(store)),
      models(on, dtype, memory.models),
      tokens(on),
      banks(artifacts.get(), on, memory.bank_on_device, memory.banks),
      teachers(memory.teachers, [on] { SynchronizeCurrentStream(on); }),
      streams(memory.streams),
      states({.device_bytes = memory.live_states,
              .host_bytes = memory.host_states,
              .disk_bytes = memory.disk_states,
              .device_is_tight = on.is_cuda() ? std::function<bool()>([this] {
                return FreeDeviceMemory(device) < Share(memory.total, 30);  // of what tensors may take
              })
                                              : std::function<bool()>(),
              .live_location = on.is_cuda() ? StateLocation::kDevice : StateLocation::kHost}),
      warm_trainers(memory.warm_trainers),
      room(WithoutReserve(memory.total)) {}

DeviceRoom::Hold EngineParts::MakeRoom(int64_t bytes, const ResidentBytes& resident) {
  if (!device.is_cuda()) return {};
  // What this thread's stream still reads must not go.
  const auto settled = [this](auto give) {
    return [this, give] {
      SynchronizeCurrentStream(device);
      return give();
    };
  };
  return room.Take(
      bytes,
      {{[this] { return banks.layer_bytes(); }, settled([this] { return banks.DropLayer(); })},
       {[this] { return entering.bytes(); }, settled([this] { return entering.Drop(); })},
       {[this] { return streams.bytes(); }, settled([this] { return streams.DropOldest(); }), resident.streams},
       {[this] { return teachers.bytes(); }, settled([this] { return teachers.DropOldest(); }), resident.teachers},
       {[this] { return models.bytes(); }, settled([this] { return models.DropOldest(); }), resident.dense},
       {[this] { return warm_trainers.bytes(); }, settled([this] { return warm_trainers.DropOldest(); })},
       {[this] { return states.device_bytes(); }, settled([this] { return states.MoveOneToHost(); })},
       {[this] { return banks.bank_bytes_on_device(); }, settled([this] { return banks.MoveBankToHost(); }), resident.bank}});
}

void EngineParts::EmptyDevice() {
  states.SpillDevice();
  warm_trainers.Clear();
  passes.Clear();
  teachers.Clear();
  streams.Clear();
  banks.Clear();
  tokens.Clear();
  models.Clear();
  entering.Drop();
  StepGraph::FreeIdleMemory();
  EmptyDeviceCache(device);
}

absl::StatusOr<std::vector<int64_t>> TaskRun::Windows(const WindowKey& key, int64_t count) const {
  if (count <= 0)
    return absl::InvalidArgumentError(absl::StrCat("a task reads ", count, " ", Name(key.pool), " windows"));
  return SelectWindows(key, tokens->num_windows, count, /*repeat=*/false);
}

std::string TaskRun::CacheKey(const std::string& windows) const {
  return absl::StrCat(model_digest, "/", tokens->digest, "/", context.sequence_length, "/", windows);
}

ScoreBatching TaskRun::batching() const {
  return ScoreBatchingFor(dense->config, context.sequence_length, parts.device);
}

ScoreProgress TaskRun::score_progress() const {
  return [this, begun = false](int64_t done, int64_t total) mutable {
    if (!begun) progress.Begin("score", total);
    begun = true;
    progress.Update(done, 0);
    return !progress.stop_requested();
  };
}

absl::StatusOr<std::shared_ptr<const TeacherStates>> TaskRun::Teacher(const WindowKey& key, int64_t count) const {
  ESPALIER_ASSIGN_OR_RETURN(const std::vector<int64_t> windows, Windows(key, count));
  return parts.teachers.Get(
      CacheKey(absl::StrCat(ToText(key), "/", count)), [&]() -> absl::StatusOr<ByteCache<TeacherStates>::Made> {
        ESPALIER_ASSIGN_OR_RETURN(TeacherStates states,
                                  MakeTeacherStates(*dense, tokens->Rows(windows), batching(), score_progress()));
        const int64_t bytes = states.bytes();
        return ByteCache<TeacherStates>::Made{std::make_shared<const TeacherStates>(std::move(states)), bytes};
      });
}

absl::StatusOr<TaskRun> OpenTask(EngineParts& parts, const std::string& job_id, const JobContext& context,
                                 ProgressReporter& progress) {
  if (context.device != (parts.device.is_cuda() ? DeviceKind::kCuda : DeviceKind::kCpu)) {
    return absl::FailedPreconditionError("the task is for another kind of device than this worker's");
  }
  progress.Begin("load", 0);
  ESPALIER_ASSIGN_OR_RETURN(DenseModel dense, parts.models.Get(context.model_folder, context.model_digest));
  ESPALIER_RETURN_IF_ERROR(CheckSequenceLength(dense.model->config, context.sequence_length));
  for (const UnitLadder& unit : context.ladder.units) {
    if (unit.unit.layer >= 0 && unit.unit.layer < dense.model->config.num_layers && !unit.removed.empty()) continue;
    return absl::InvalidArgumentError(absl::StrCat("the ladder's unit ", Name(unit.unit),
                                                   " is not in the model, which has ", dense.model->config.num_layers,
                                                   " layers"));
  }
  ESPALIER_ASSIGN_OR_RETURN(auto tokens,
                            parts.tokens.Get(context.tokens_path, context.tokens_digest, context.sequence_length,
                                             dense.model->config.vocabulary_size));
  return TaskRun{parts, job_id, context, progress, dense.model, dense.digest, std::move(tokens)};
}

}  // namespace espalier
