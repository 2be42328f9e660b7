// An engine without tensors: outcomes follow from the task by a closed formula, so that a whole search can be asserted.
// Header only, for the tests of everything above the search as well.
//
// Fitness of a mask: sum over units of weight * share^1.5, and for neighbouring units an interaction that single-unit
// scores cannot see; training shrinks it towards a floor that depends on another set of weights, so that the order
// after training differs from the order before. Noise depends on the window and the mask alone.
#pragma once

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/random.h"
#include "common/base/sha256.h"
#include "common/domain/job_inputs.h"
#include "common/domain/mask.h"
#include "common/domain/task.h"

namespace espalier::testing {

struct FakeEvaluatorOptions {
  double noise = 0;                       // standard deviation by window, nats
  std::set<std::string> infeasible = {};  // mask digests
  std::string bank_salt = {};             // another salt: other bytes for every rebuilt layer
  std::set<int> salted_layers = {};       // whose artifacts differ
};

class FakeEvaluator {
 public:
  FakeEvaluator(JobInputs inputs, FakeEvaluatorOptions options)
      : inputs_(std::move(inputs)), options_(std::move(options)) {}

  FakeEvaluatorOptions& options() { return options_; }

  TaskOutcome Run(const Task& task) const {
    switch (task.kind()) {
      case TaskKind::kBankLayer: return BankLayer(task);
      case TaskKind::kAdditiveUnit: return AdditiveUnit(task);
      case TaskKind::kEvaluate: return Evaluate(task);
      case TaskKind::kFinish: return Finish(task);
    }
    return Measurement();
  }

  // The closed formula, without noise.
  static double Fitness(const Ladder& ladder, const Mask& mask, int64_t trained_tokens) {
    double one_shot = 0, floor = 0, previous = 0;
    for (size_t i = 0; i < mask.levels.size(); ++i) {
      const double share = static_cast<double>(ladder.units[i].removed[mask.levels[i]]) / ladder.units[i].size;
      one_shot += Weight(i, "one-shot") * std::pow(share, 1.5) + 0.3 * share * previous;
      floor += Weight(i, "trained") * share;
      previous = share;
    }
    const double left = std::exp(-static_cast<double>(trained_tokens) / 30000.0);
    return one_shot * left + 0.4 * floor * (1 - left);
  }

 private:
  static double Weight(size_t unit, const char* which) {
    return 0.2 + KeyedRandom(5, which, {static_cast<int64_t>(unit)}).Unit();
  }

  std::vector<int> HeadOrder(const Task& task, int layer) const {
    const int group =
        task.context.ladder.head_granularity == HeadGranularity::kKvGroup ? inputs_.dense.heads_per_group() : 1;
    std::vector<int> order;
    for (int64_t first : KeyedPermutation(9, "heads", {layer}, inputs_.dense.num_heads / group)) {
      for (int i = 0; i < group; ++i) order.push_back(static_cast<int>(first) * group + i);
    }
    return order;
  }

  TaskOutcome BankLayer(const Task& task) const {
    const int layer = std::get<BankLayerTask>(task.payload).layer;
    BankLayerOutcome outcome;
    outcome.artifact_digest =
        Sha256Hex(absl::StrCat("layer ", layer, options_.salted_layers.contains(layer) ? options_.bank_salt : ""));
    outcome.artifact_bytes = 1000;
    outcome.head_order = HeadOrder(task, layer);
    for (const UnitLadder& unit : task.context.ladder.units) {
      if (unit.unit.layer != layer) continue;
      std::vector<double>& errors =
          unit.unit.kind == UnitKind::kAttention ? outcome.attention_errors : outcome.ffn_errors;
      for (int removed : unit.removed) errors.push_back(removed);
    }
    outcome.seconds = 0.5;
    return outcome;
  }

  TaskOutcome AdditiveUnit(const Task& task) const {
    const AdditiveUnitTask& payload = std::get<AdditiveUnitTask>(task.payload);
    AdditiveUnitOutcome outcome;
    Mask mask{std::vector<int>(task.context.ladder.units.size(), 0)};
    for (int level = 0; level < task.context.ladder.units[payload.unit].num_levels(); ++level) {
      mask.levels[payload.unit] = level;
      outcome.fitness_by_level.push_back(Fitness(task.context.ladder, mask, 0));
      if (level > 0) outcome.scored_tokens += payload.score_windows * task.context.sequence_length;
    }
    outcome.seconds = 0.25;
    return outcome;
  }

  Measurement Measure(const Task& task, const Mask& mask, const BankReference& bank, const WindowKey& key,
                      int64_t windows, int64_t trained) const {
    Measurement measurement;
    const std::string digest = Digest(task.context.ladder, mask);
    if (options_.infeasible.contains(digest)) {
      measurement.feasible = false;
      measurement.infeasible_reason = "out of memory, alone on an empty device";
      return measurement;
    }
    const double fitness = Fitness(task.context.ladder, mask, trained);
    const uint64_t of_mask = std::stoull(digest.substr(0, 15), nullptr, 16);
    KeyedRandom random(of_mask, ToText(key), {static_cast<int64_t>(bank.layer_digests.size())});
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < windows; ++i) {
      const double value = std::max(0.0, fitness + options_.noise * std::sqrt(12.0) * (random.Unit() - 0.5));
      measurement.window_fitness.push_back(static_cast<float>(value));
      sum += value;
      squares += value * value;
    }
    const double count = static_cast<double>(windows);
    measurement.fitness = sum / count;
    if (windows > 1)
      measurement.standard_error =
          std::sqrt(std::max(0.0, squares / count - measurement.fitness * measurement.fitness) / (count - 1));
    measurement.loss = 3 + measurement.fitness;
    measurement.scored_tokens = windows * task.context.sequence_length;
    HeadOrders orders;
    for (int layer = 0; layer < inputs_.dense.num_layers; ++layer) orders.push_back(HeadOrder(task, layer));
    measurement.parameters = CountParameters(ApplyMask(inputs_.dense, task.context.ladder, mask, orders));
    measurement.train_seconds = static_cast<double>(trained) * 1e-5;
    measurement.score_seconds = 0.01 * count;
    return measurement;
  }

  TaskOutcome Evaluate(const Task& task) const {
    const EvaluateTask& payload = std::get<EvaluateTask>(task.payload);
    Measurement measurement =
        Measure(task, payload.mask, payload.bank, payload.score, payload.score_windows, payload.stream.end);
    if (!measurement.feasible) return measurement;
    measurement.trained_tokens = payload.stream.end - payload.stream.begin;
    if (payload.measure_perplexity) {
      measurement.dense_perplexity = 30;
      measurement.perplexity = 30 * std::exp(measurement.fitness);
    }
    return measurement;
  }

  TaskOutcome Finish(const Task& task) const {
    const FinishTask& payload = std::get<FinishTask>(task.payload);
    FinishOutcome outcome;
    outcome.measurement =
        Measure(task, payload.mask, payload.bank, payload.score, payload.score_windows, payload.recovery.tokens);
    outcome.measurement.trained_tokens = payload.recovery.tokens;
    outcome.measurement.dense_perplexity = 30;
    outcome.measurement.perplexity = 30 * std::exp(outcome.measurement.fitness);
    outcome.files.push_back({"model.safetensors", Sha256Hex(payload.mask_digest), 123});
    for (size_t i = 0; i < payload.mask.levels.size(); ++i) {
      const UnitLadder& unit = task.context.ladder.units[i];
      KeptUnit kept;
      kept.unit = Name(unit.unit);
      kept.removed = unit.removed[payload.mask.levels[i]];
      if (unit.unit.kind == UnitKind::kAttention) {
        kept.kept_heads = KeptHeads(HeadOrder(task, unit.unit.layer), kept.removed);
      } else {
        kept.kept_neurons = unit.size - kept.removed;
      }
      outcome.kept.push_back(std::move(kept));
    }
    return outcome;
  }

  JobInputs inputs_;
  FakeEvaluatorOptions options_;
};

}  // namespace espalier::testing
