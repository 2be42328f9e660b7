#include "tests/support/fake/fake_engine.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/sha256.h"
#include "common/base/status_macros.h"

namespace espalier::testing {
namespace {

constexpr double kDenseLoss = 3.5;

double UnitFitness(const UnitLadder& unit, int level) {
  const double share = static_cast<double>(unit.removed[level]) / unit.size;
  const double weight = (unit.unit.kind == UnitKind::kAttention ? 0.3 : 0.2) / (1 + unit.unit.layer);
  return weight * share * share;
}

Measurement Measure(const JobContext& context, const Mask& mask, int64_t trained, int64_t windows) {
  Measurement measurement;
  measurement.fitness = FakeFitness(context.ladder, mask, trained);
  for (int64_t window = 0; window < windows; ++window) {
    measurement.window_fitness.push_back(static_cast<float>(measurement.fitness * (1 + 0.01 * ((window % 3) - 1))));
  }
  measurement.standard_error = windows > 1 ? measurement.fitness * 0.01 / std::sqrt(static_cast<double>(windows)) : 0;
  measurement.loss = kDenseLoss + measurement.fitness;
  measurement.scored_tokens = windows * context.sequence_length;
  measurement.train_seconds = 0.001;
  measurement.score_seconds = 0.001;
  return measurement;
}

}  // namespace

double FakeFitness(const Ladder& ladder, const Mask& mask, int64_t trained_tokens) {
  double fitness = 0;
  for (size_t unit = 0; unit < ladder.units.size(); ++unit)
    fitness += UnitFitness(ladder.units[unit], mask.levels[unit]);
  return fitness * (0.5 + 0.5 * std::exp(-static_cast<double>(trained_tokens) / 1e5));
}

FakeEngine::FakeEngine(FakeEngineOptions options, std::unique_ptr<ArtifactStore> artifacts)
    : options_(options), artifacts_(std::move(artifacts)) {}

absl::StatusOr<TaskOutcome> FakeEngine::Run(const Task& task, const ProgressFunction& progress, std::stop_token stop) {
  {
    std::lock_guard lock(mutex_);
    ++num_runs_;
  }
  constexpr int kSteps = 10;
  for (int step = 0; step < kSteps; ++step) {
    if (stop.stop_requested()) return absl::CancelledError("asked to stop");
    progress({.step = "train", .done = step * 100, .total = kSteps * 100, .tokens_per_second = 1000, .loss = 3.5});
    if (options_.task_time > absl::ZeroDuration())
      std::this_thread::sleep_for(absl::ToChronoNanoseconds(options_.task_time / kSteps));
  }
  if (const auto* bank = std::get_if<BankLayerTask>(&task.payload)) return BankLayer(task, *bank);
  if (const auto* additive = std::get_if<AdditiveUnitTask>(&task.payload)) return AdditiveUnit(task, *additive);
  if (const auto* evaluate = std::get_if<EvaluateTask>(&task.payload)) return Evaluate(task, *evaluate);
  return Finish(task, std::get<FinishTask>(task.payload));
}

absl::StatusOr<TaskOutcome> FakeEngine::BankLayer(const Task& task, const BankLayerTask& payload) {
  BankLayerOutcome outcome;
  const std::string content = absl::StrCat("bank of layer ", payload.layer, " of ", task.context.model_digest);
  ESPALIER_ASSIGN_OR_RETURN(outcome.artifact_digest, Store(content));
  outcome.artifact_bytes = static_cast<int64_t>(content.size());
  for (const UnitLadder& unit : task.context.ladder.units) {
    if (unit.unit.layer != payload.layer) continue;
    std::vector<double>& errors =
        unit.unit.kind == UnitKind::kAttention ? outcome.attention_errors : outcome.ffn_errors;
    for (int level = 0; level < unit.num_levels(); ++level) errors.push_back(UnitFitness(unit, level));
    if (unit.unit.kind != UnitKind::kAttention) continue;
    outcome.head_order.resize(unit.size);
    std::iota(outcome.head_order.begin(), outcome.head_order.end(), 0);
  }
  outcome.seconds = 0.001;
  return outcome;
}

TaskOutcome FakeEngine::AdditiveUnit(const Task& task, const AdditiveUnitTask& payload) {
  AdditiveUnitOutcome outcome;
  const UnitLadder& unit = task.context.ladder.units[payload.unit];
  for (int level = 0; level < unit.num_levels(); ++level) outcome.fitness_by_level.push_back(UnitFitness(unit, level));
  outcome.scored_tokens = payload.score_windows * task.context.sequence_length;
  outcome.seconds = 0.001;
  return outcome;
}

TaskOutcome FakeEngine::Evaluate(const Task& task, const EvaluateTask& payload) {
  Measurement measurement = Measure(task.context, payload.mask, payload.stream.end, payload.score_windows);
  measurement.trained_tokens = payload.stream.end - payload.stream.begin;
  if (options_.tells_nonsense) measurement.fitness = -1;
  if (payload.measure_perplexity) {
    measurement.dense_perplexity = std::exp(kDenseLoss);
    measurement.perplexity = std::exp(measurement.loss);
  }
  std::lock_guard lock(mutex_);
  const auto is_resumed = [&](const RetainedState& state) {
    return payload.resume.has_value() && state.key == *payload.resume;
  };
  const bool is_gone = payload.resume.has_value() && std::none_of(states_.begin(), states_.end(), is_resumed);
  if (is_gone) measurement.replayed_tokens = payload.stream.begin;
  if (payload.retain.has_value()) {
    std::erase_if(states_, [&](const RetainedState& state) { return state.key == *payload.retain; });
    states_.push_back({*payload.retain, 1000, StateLocation::kHost});
  }
  return measurement;
}

absl::StatusOr<TaskOutcome> FakeEngine::Finish(const Task& task, const FinishTask& payload) {
  FinishOutcome outcome;
  const std::vector<std::pair<std::string, std::string>> files = {
      {"config.json", "{\"model_type\": \"espalier\"}\n"},
      {"model.safetensors", absl::StrCat("mask ", payload.mask_digest)}};
  for (const auto& [name, content] : files) {
    ESPALIER_ASSIGN_OR_RETURN(const std::string digest, Store(content));
    outcome.files.push_back({name, digest, static_cast<int64_t>(content.size())});
  }
  for (size_t i = 0; i < task.context.ladder.units.size(); ++i) {
    const UnitLadder& unit = task.context.ladder.units[i];
    KeptUnit kept;
    kept.unit = Name(unit.unit);
    kept.removed = unit.removed[payload.mask.levels[i]];
    if (unit.unit.kind == UnitKind::kFfn) kept.kept_neurons = unit.size - kept.removed;
    for (int head = kept.removed; unit.unit.kind == UnitKind::kAttention && head < unit.size; ++head)
      kept.kept_heads.push_back(head);
    outcome.kept.push_back(kept);
  }
  outcome.measurement = Measure(task.context, payload.mask, payload.recovery.tokens, payload.score_windows);
  outcome.measurement.trained_tokens = payload.recovery.tokens;
  outcome.measurement.perplexity = std::exp(outcome.measurement.loss);
  outcome.measurement.dense_perplexity = std::exp(kDenseLoss);
  return outcome;
}

absl::StatusOr<std::string> FakeEngine::Store(const std::string& content) {
  if (artifacts_ == nullptr) return Sha256Hex(content);
  return artifacts_->Put(content);
}

std::vector<RetainedState> FakeEngine::ListStates() const {
  std::lock_guard lock(mutex_);
  return states_;
}

void FakeEngine::KeepOnly(const std::vector<StateKey>& keep) {
  std::lock_guard lock(mutex_);
  std::erase_if(states_, [&](const RetainedState& state) {
    return std::find(keep.begin(), keep.end(), state.key) == keep.end();
  });
}

DeviceDescription FakeEngine::Describe() const {
  return {.kind = options_.device, .name = "fake", .memory_bytes = 1 << 30, .numerics_class = "fake-1"};
}

int FakeEngine::num_runs() const {
  std::lock_guard lock(mutex_);
  return num_runs_;
}

}  // namespace espalier::testing
