#include "worker/engine/train_plan.h"

#include <algorithm>
#include <cstdio>
#include <mutex>
#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "worker/engine/model_cache.h"
#include "worker/engine/train_formats.h"
#include "worker/model/device_runtime.h"
#include "worker/model/fused_ops.h"

namespace espalier {
namespace {

constexpr int64_t kWorkingBytes = int64_t{1} << 30;  // logits in chunks, buffers of the step

constexpr int64_t kCpuTrainingBytes = 20;  // of a parameter: fp32 weight, gradient and its flat copy, moments

// Bytes of activations that the backward pass needs for one token, in bf16: inputs and outputs of the projections,
// norms.
int64_t ActivationBytesPerToken(const ModelConfig& config) {
  int64_t values = 0;
  for (const LayerShape& layer : config.layers) {
    values += 2 * config.hidden_size;  // the residual stream at both doors
    if (layer.num_heads() > 0) {
      values += 2 * config.hidden_size + (3 * layer.num_heads() + 4 * layer.num_kv_heads) * int64_t{config.head_size};
    }
    if (layer.ffn_width > 0) values += 2 * config.hidden_size + 4 * int64_t{layer.ffn_width};
  }
  return 2 * values;
}

// The largest layer alone, when activations are computed again, and one hidden state a layer.
int64_t RecomputedBytesPerToken(const ModelConfig& config) {
  const int64_t layers = std::max<int64_t>(config.num_layers, 1);
  return 2 * ActivationBytesPerToken(config) / layers + 2 * layers * config.hidden_size;
}

// What one task may use for training beside what the caches hold.
int64_t BytesForTraining(const TaskRun& run) {
  const MemoryPlan& memory = run.parts.memory;
  const int64_t caches = BytesOf(*run.dense) + memory.bank_on_device + memory.streams + memory.teachers;
  return (memory.total / 100 * 92 - caches) / run.parts.options.num_slots;
}

// All windows of the stream's first `end` tokens, each once, in the stream's order. The count is rounded up to whole
// blocks of the dense model's batch, so that a row is always computed in the same batch.
absl::StatusOr<std::vector<int64_t>> StreamWindows(const TaskRun& run, const StreamRange& range, int64_t end) {
  const int64_t length = run.context.sequence_length;
  const int64_t block = run.batching().windows_per_batch;
  const int64_t pool = PoolSize(range.key.pool, run.tokens->num_windows);
  int64_t count = (end + length - 1) / length;
  count = (count + block - 1) / block * block;
  return SelectWindows(range.key, run.tokens->num_windows, std::min(count, pool), /*repeat=*/false);
}

int64_t LastEnd(const StreamRange& range) {
  return range.stage_ends.empty() ? range.end : std::max(range.end, range.stage_ends.back());
}

// How candidates train here, on the worker's log: each way once a process.
void SayPlan(const TrainerOptions& options, int64_t parameters, int64_t bytes, int64_t available) {
  static std::mutex mutex;
  static auto* const said = new std::set<std::string>();
  std::string way = Describe(options.masters, options.moments);
  if (options.recompute_activations) absl::StrAppend(&way, ", activations computed again");
  if (options.micro_batch_tokens > 0) absl::StrAppend(&way, ", passes of ", options.micro_batch_tokens, " tokens");
  const std::lock_guard lock(mutex);
  if (!said->insert(way).second) return;
  std::fprintf(stderr, "espalier: a candidate of %.1fM parameters trains with %s: %.1f of %.1f GiB without activations\n",
               static_cast<double>(parameters) / 1e6, way.c_str(), static_cast<double>(bytes) / (1 << 30),
               static_cast<double>(available) / (1 << 30));
}

}  // namespace

absl::StatusOr<TrainSource> MakeTrainSource(TaskRun& run, const StreamRange& range, Loss loss, int tokens_per_step) {
  TrainSource source;
  source.tokens = run.tokens;
  const bool needs_teacher = loss != Loss::kCrossEntropy;
  if (needs_teacher) source.data.teacher = run.dense.get();

  const int64_t length = run.context.sequence_length;
  ESPALIER_ASSIGN_OR_RETURN(const std::vector<int64_t> all, StreamWindows(run, range, LastEnd(range)));
  const int64_t bytes = static_cast<int64_t>(all.size()) * length * run.dense->config.hidden_size *
                        static_cast<int64_t>(c10::elementSize(run.parts.dtype));
  if (needs_teacher && bytes <= run.parts.memory.streams && tokens_per_step >= length) {
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

TrainerOptions PlanTrainer(const TaskRun& run, const ModelConfig& candidate, int tokens_per_step) {
  TrainerOptions options;
  if (run.parts.options.plain_training) {
    options.use_graph = false;
    options.layout = BatchLayout::kExact;
  }
  if (!run.parts.device.is_cuda()) return options;
  const int64_t parameters = CountParameters(candidate);
  const int64_t length = run.context.sequence_length;
  const int64_t step_tokens = std::max<int64_t>(tokens_per_step, length);
  const int64_t available = BytesForTraining(run) - 2 * kWorkingBytes;
  const int64_t least_activations = length * ActivationBytesPerToken(candidate);
  const TrainFormats formats = ChooseTrainFormats(parameters, HasFusedOps(run.dense->embedding_VD),
                                                  {available, least_activations, length * RecomputedBytesPerToken(candidate)});
  options.masters = formats.masters;
  options.moments = formats.moments;
  const int64_t per_parameter = formats.bytes_per_parameter;
  const int64_t left = available - parameters * per_parameter;
  options.recompute_activations = least_activations > left;
  const int64_t per_token =
      options.recompute_activations ? RecomputedBytesPerToken(candidate) : ActivationBytesPerToken(candidate);
  const int64_t fitting = std::max<int64_t>(left / std::max<int64_t>(per_token, 1) / length, 1) * length;
  if (fitting < step_tokens) options.micro_batch_tokens = fitting;
  SayPlan(options, parameters, parameters * per_parameter, available);
  return options;
}

absl::Status CheckTrainingFits(const TaskRun& run, const ModelConfig& candidate) {
  const int64_t parameters = CountParameters(candidate);
  const int64_t per_parameter = run.parts.device.is_cuda() ? LeastTrainingBytes() : kCpuTrainingBytes;
  const int64_t activations = run.context.sequence_length * RecomputedBytesPerToken(candidate);
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
