#include "worker/engine/train_plan.h"

#include <algorithm>
#include <cstdio>
#include <mutex>
#include <set>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/domain/bank_bytes.h"
#include "worker/engine/candidate.h"
#include "worker/engine/model_cache.h"
#include "worker/engine/train_formats.h"
#include "worker/model/device_runtime.h"
#include "worker/model/fused_ops.h"

namespace espalier {
namespace {

constexpr int64_t kPlanGiB = int64_t{1} << 30;
// Bytes that a trained parameter takes on CPU: masters that are the weights, gradients twice, moments.
constexpr int64_t kBytesOnCpu = 20;

// Windows of the stream's first `end` tokens, each once.
int64_t NumStreamWindows(const TaskRun& run, const StreamRange& range, int64_t end) {
  const int64_t length = run.context.sequence_length;
  const int64_t block = run.batching().windows_per_batch;
  int64_t count = (end + length - 1) / length;
  count = (count + block - 1) / block * block;
  return std::min(count, PoolSize(range.key.pool, run.tokens->num_windows));
}

// All windows of the stream's first `end` tokens, each once, in the stream's order. The count is rounded up to whole
// blocks of the dense model's batch, so that a row is always computed in the same batch.
absl::StatusOr<std::vector<int64_t>> StreamWindows(const TaskRun& run, const StreamRange& range, int64_t end) {
  return SelectWindows(range.key, run.tokens->num_windows, NumStreamWindows(run, range, end), /*repeat=*/false);
}

int64_t LastEnd(const StreamRange& range) {
  return range.stage_ends.empty() ? range.end : std::max(range.end, range.stage_ends.back());
}

int64_t HiddenBytes(const TaskRun& run, int64_t windows) {
  return windows * run.context.sequence_length * run.dense->config.hidden_size *
         static_cast<int64_t>(c10::elementSize(run.parts.dtype));
}

// Of the dense model's hidden states over the stream when they are cached, else 0: a matter of the job's numbers alone.
int64_t CachedStreamBytes(const TaskRun& run, const StreamRange& range, Loss loss, int tokens_per_step) {
  if (loss == Loss::kCrossEntropy || tokens_per_step < run.context.sequence_length) return 0;
  const int64_t bytes = HiddenBytes(run, NumStreamWindows(run, range, LastEnd(range)));
  return bytes <= run.parts.memory.streams ? bytes : 0;
}

ResidentBytes ResidentsOf(const TaskRun& run, const TrainingTask& task) {
  ResidentBytes job;
  job.dense = BytesOf(*run.dense);
  job.bank = BankBytes(run.dense->config, run.context.ladder);
  job.streams = CachedStreamBytes(run, task.stream, task.loss, task.tokens_per_step);
  job.teachers = HiddenBytes(run, task.score_windows);
  return ResidentsWithin(run.parts.memory, job);
}

// How candidates train here, on the worker's log: each way once a process.
void SayPlan(const TrainingPlan& plan, int64_t parameters) {
  static std::mutex mutex;
  static auto* const said = new std::set<std::string>();
  std::string way = Describe(plan.masters, plan.moments);
  if (plan.recompute_activations) absl::StrAppend(&way, ", activations computed again");
  if (plan.micro_batch_tokens > 0) absl::StrAppend(&way, ", passes of ", plan.micro_batch_tokens, " tokens");
  if (plan.bank_on_host) absl::StrAppend(&way, ", the level bank in host memory");
  const std::lock_guard lock(mutex);
  if (!said->insert(way).second) return;
  std::fprintf(stderr, "espalier: a candidate of %.1fM parameters trains with %s: %.1f of %.1f GiB without activations\n",
               static_cast<double>(parameters) / 1e6, way.c_str(), static_cast<double>(plan.state_bytes) / kPlanGiB,
               static_cast<double>(plan.available) / kPlanGiB);
}

}  // namespace

absl::StatusOr<TrainSource> MakeTrainSource(TaskRun& run, const StreamRange& range, Loss loss, int tokens_per_step) {
  TrainSource source;
  source.tokens = run.tokens;
  if (loss != Loss::kCrossEntropy) source.data.teacher = run.dense.get();

  ESPALIER_ASSIGN_OR_RETURN(const std::vector<int64_t> all, StreamWindows(run, range, LastEnd(range)));
  if (CachedStreamBytes(run, range, loss, tokens_per_step) > 0) {
    ESPALIER_ASSIGN_OR_RETURN(const std::vector<int64_t> windows, StreamWindows(run, range, range.end));
    const auto compute = [&](const std::vector<int64_t>& more) {
      return MakeTeacherStates(*run.dense, run.tokens->Rows(more), run.batching(), run.score_progress());
    };
    ESPALIER_ASSIGN_OR_RETURN(source.rows, run.parts.streams.Get(run.CacheKey(ToText(range.key)), windows, compute));
    source.data.tokens_WL = source.rows->states.tokens_WL;
    source.data.row_of_window = source.rows->row_of_window;
    source.data.teacher_hidden_WLD = source.rows->states.hidden_WLD;
    return source;
  }
  if (run.tokens->ids_NL.device() == run.parts.device) {
    source.data.tokens_WL = run.tokens->ids_NL;
    return source;
  }
  source.data.tokens_WL = run.tokens->Rows(all);
  for (size_t row = 0; row < all.size(); ++row) source.data.row_of_window[all[row]] = static_cast<int64_t>(row);
  return source;
}

StreamRange RecoveryStream(const FinishTask& task) {
  StreamRange range;
  range.key = task.recovery_key;
  range.end = task.recovery.tokens;
  range.repeat = true;
  return range;
}

TrainingTask TrainingOf(const EvaluateTask& task) {
  return {task.mask, task.stream.end > 0, task.stream, task.train.loss, task.tokens_per_step, task.score_windows};
}

TrainingTask TrainingOf(const FinishTask& task) {
  const Recovery& recovery = task.recovery;
  const bool is_trained = recovery.tokens > 0 || task.start.has_value();
  return {task.mask, is_trained, RecoveryStream(task), recovery.train.loss, recovery.tokens_per_step, task.score_windows};
}

CandidatePlan PlanCandidate(TaskRun& run, const TrainingTask& task) {
  CandidatePlan candidate;
  if (run.parts.options.plain_training) {
    candidate.trainer.use_graph = false;
    candidate.trainer.layout = BatchLayout::kExact;
  }
  if (!run.parts.device.is_cuda()) return candidate;
  const ModelConfig shape = LargestShape(run.dense->config, run.context.ladder, task.mask);
  const TrainingDemand demand =
      DemandOf(shape, run.context.sequence_length, task.tokens_per_step, HasFusedOps(run.dense->embedding_VD));
  ResidentBytes resident = ResidentsOf(run, task);
  const TrainingPlan plan = PlanTraining(demand, resident, run.parts.memory.total, run.parts.options.num_slots);
  candidate.trainer.masters = plan.masters;
  candidate.trainer.moments = plan.moments;
  candidate.trainer.recompute_activations = plan.recompute_activations;
  candidate.trainer.micro_batch_tokens = plan.micro_batch_tokens;
  if (plan.bank_on_host) {
    candidate.bank = BankPlace::kHost;
    resident.bank = 0;
  }
  if (task.is_trained) SayPlan(plan, demand.parameters);
  run.room.Release();
  run.room = run.parts.MakeRoom(task.is_trained ? plan.bytes() : 2 * demand.parameters + 2 * kWorkingBytes, resident);
  return candidate;
}

absl::Status CheckTrainingFits(const TaskRun& run, const ModelConfig& candidate) {
  const int64_t parameters = CountParameters(candidate);
  const int64_t per_parameter = run.parts.device.is_cuda() ? LeastTrainingBytes() : kBytesOnCpu;
  const int64_t length = run.context.sequence_length;
  const int64_t activations = length * DemandOf(candidate, length, 0, true).recomputed_bytes;
  const int64_t dense = BytesOf(*run.dense);
  const int64_t needed = parameters * per_parameter + activations + dense + kWorkingBytes;
  if (needed <= run.parts.memory.total) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("training does not fit one device: ", parameters, " parameters at ", per_parameter,
                   " bytes, the dense model's ", dense, " bytes and activations of ", activations, " bytes need ",
                   needed, " bytes, the device (", DeviceName(run.parts.device), ") has ", run.parts.memory.total,
                   "; use a larger device, a smaller target or no recovery tokens"));
}

}  // namespace espalier
