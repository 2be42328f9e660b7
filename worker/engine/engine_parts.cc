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

MemoryPlan PlanMemory(torch::Device device, const EngineOptions& options) {
  const int64_t machine = DeviceMemoryBytes(torch::kCPU);
  MemoryPlan plan;
  plan.total = DeviceMemoryBytes(device);
  if (options.device_memory_bytes > 0) plan.total = std::min(plan.total, options.device_memory_bytes);
  plan.host_states = options.state_memory_bytes > 0 ? options.state_memory_bytes : machine / 4;
  plan.disk_states = 64 * kGiB;
  plan.banks = machine / 4;
  if (device.is_cuda()) {
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

EngineParts::EngineParts(const EngineOptions& engine_options, torch::Device on, std::unique_ptr<ArtifactStore> store)
    : options(engine_options),
      device(on),
      dtype(on.is_cuda() ? torch::kBFloat16 : torch::kFloat32),
      memory(PlanMemory(on, engine_options)),
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
                const int64_t not_ours = DeviceMemoryBytes(device) - memory.total;
                return FreeDeviceMemory(device) - not_ours < Share(memory.total, 30);
              })
                                              : std::function<bool()>(),
              .live_location = on.is_cuda() ? StateLocation::kDevice : StateLocation::kHost}),
      warm_trainers(memory.warm_trainers) {}

void EngineParts::EmptyDevice() {
  states.SpillDevice();
  warm_trainers.Clear();
  passes.Clear();
  teachers.Clear();
  streams.Clear();
  banks.Clear();
  tokens.Clear();
  models.Clear();
  {
    std::lock_guard lock(entering.mutex);
    entering.key.clear();
    entering.hidden_WLD = torch::Tensor();
  }
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
