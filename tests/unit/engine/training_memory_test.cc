#include "worker/engine/training_memory.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/domain/bank_bytes.h"
#include "tests/support/catch.h"
#include "worker/engine/candidate.h"
#include "worker/engine/engine_parts.h"

namespace espalier {
namespace {

constexpr int64_t kGiB = int64_t{1} << 30;
constexpr int kLength = 1024;

ModelConfig Shape(int layers, int hidden, int heads, int kv_heads, int head_size, int ffn, int vocabulary, bool tied) {
  ModelConfig config;
  config.vocabulary_size = vocabulary;
  config.hidden_size = hidden;
  config.num_layers = layers;
  config.num_heads = heads;
  config.num_kv_heads = kv_heads;
  config.head_size = head_size;
  config.ffn_width = ffn;
  config.tied_embeddings = tied;
  config.layers.assign(layers, DenseLayer(config));
  return config;
}
ModelConfig Small() { return Shape(12, 384, 12, 4, 32, 1024, 4096, true); }
ModelConfig EightLayersOf7B() { return Shape(8, 4096, 32, 32, 128, 11008, 32000, false); }
ModelConfig EightB() { return Shape(32, 4096, 32, 8, 128, 14336, 128256, false); }

// A job on one device, its candidates about half the dense model.
struct Job {
  ModelConfig dense;
  Ladder ladder;
  int64_t stream_tokens = 0;  // 0: a loss without the dense model
  int slots = 1;

  Job(const ModelConfig& config, int levels) : dense(config) {
    LadderOptions options;
    options.head_granularity = HeadGranularity::kHead;
    options.keep_kv_whole = true;
    options.attention_levels = options.ffn_levels = levels;
    const auto built = BuildLadder(dense, options);
    REQUIRE_OK(built);
    ladder = *built;
  }

  // Every unit at the middle level; of the first `narrow` layers the FFN one level lower.
  ModelConfig Half(int narrow) const {
    Mask mask;
    for (const UnitLadder& unit : ladder.units) {
      const bool lower = unit.unit.kind == UnitKind::kFfn && unit.unit.layer < narrow;
      mask.levels.push_back(unit.num_levels() / 2 + (lower ? 1 : 0));
    }
    return LargestShape(dense, ladder, mask);
  }

  ResidentBytes Residents(double device_gib) const {
    EngineOptions options;
    const auto bytes = static_cast<int64_t>(device_gib * kGiB);
    const MemoryPlan most = PlanMemory(DeviceKind::kCuda, bytes, 256 * kGiB, options);
    ResidentBytes job;
    job.dense = 2 * CountParameters(dense);
    job.bank = BankBytes(dense, ladder);
    job.streams = 2 * stream_tokens * dense.hidden_size;
    job.teachers = 2 * int64_t{8} * kLength * dense.hidden_size;
    return ResidentsWithin(most, job);
  }

  TrainingPlan Plan(const ModelConfig& candidate, double device_gib, int tokens_per_step) const {
    return PlanTraining(DemandOf(candidate, kLength, tokens_per_step, true), Residents(device_gib),
                        static_cast<int64_t>(device_gib * kGiB), slots);
  }
};

// "float32 kept whole device": moments (and "bf16 weights" without masters), activations, tokens of a pass, the bank's place.
std::string Way(const TrainingPlan& plan) {
  static constexpr const char* kNames[] = {"float32", "bfloat16", "byte"};
  return absl::StrCat(plan.masters == MastersFormat::kBFloat16 ? "bf16 weights " : "", kNames[static_cast<int>(plan.moments)], plan.recompute_activations ? " again " : " kept ",
                      plan.micro_batch_tokens == 0 ? "whole" : absl::StrCat(plan.micro_batch_tokens), " ",
                      plan.bank_on_host ? "host" : "device");
}

TEST_CASE("PlanTraining: where all fits, moments stay wide, steps whole and the bank on the device", "[engine]") {
  const Job small(Small(), 13), seven(EightLayersOf7B(), 11), eight(EightB(), 5);
  for (const double gib : {24.0, 80.0, 139.8}) CHECK(Way(small.Plan(small.Half(0), gib, 1024)) == "float32 kept whole device");
  for (const double gib : {79.1, 139.8}) CHECK(Way(seven.Plan(seven.Half(0), gib, 8192)) == "float32 kept whole device");
  CHECK(Way(eight.Plan(eight.Half(15), 139.8, 8192)) == "float32 kept whole device");
}

TEST_CASE("PlanTraining: a bank in host memory gives its room to wider moments, kept activations and longer passes", "[engine]") {
  const Job seven(EightLayersOf7B(), 11), eight(EightB(), 5);
  const ModelConfig candidate = eight.Half(15);
  CHECK(CountParameters(candidate) == Approx(4.0e9).epsilon(0.01));
  CHECK(Way(eight.Plan(candidate, 78, 8192)) == "bfloat16 kept 2048 host");
  CHECK(Way(eight.Plan(candidate, 78, 1024)) == "bfloat16 kept whole host");
  CHECK(Way(eight.Plan(candidate, 80, 8192)) == "bfloat16 kept 3072 host");
  CHECK(Way(eight.Plan(candidate, 80, 1024)) == "bfloat16 kept whole device");
  CHECK(Way(eight.Plan(candidate, 139.8, 16384)) == "float32 kept 14336 host");
  CHECK(Way(seven.Plan(seven.Half(0), 24, 8192)) == "byte kept 3072 host");
  CHECK(Way(seven.Plan(seven.Half(0), 24, 1024)) == "bfloat16 kept whole host");
}

TEST_CASE("PlanTraining: hidden states that the job keeps for its loss count, up to their share", "[engine]") {
  Job eight(EightB(), 5);
  const ModelConfig candidate = eight.Half(15);
  eight.stream_tokens = 65'536;  // 0.5 GiB
  CHECK(Way(eight.Plan(candidate, 78, 8192)) == "bfloat16 kept 2048 host");
  eight.stream_tokens = 524'288;  // 4 GiB
  CHECK(Way(eight.Plan(candidate, 78, 8192)) == "byte kept 2048 host");
  eight.stream_tokens = 4'194'304;  // 32 GiB are not kept: the dense model runs beside the candidate
  CHECK(Way(eight.Plan(candidate, 78, 8192)) == "bfloat16 kept 2048 host");
}

TEST_CASE("PlanTraining: what does not fit in any way comes out in the leanest", "[engine]") {
  const Job eight(EightB(), 5);
  const TrainingPlan plan = eight.Plan(eight.Half(15), 24, 8192);
  CHECK(Way(plan) == "bf16 weights byte again 1024 device");
  CHECK(plan.state_bytes > plan.available);
}

TEST_CASE("PlanTraining: what fits stays within the device without the reserve, with all slots and residents", "[engine]") {
  int fitting = 0;
  for (const ModelConfig& config : {Small(), EightLayersOf7B(), EightB()}) {
    for (const int slots : {1, 2, 6}) {
      for (const int tokens_per_step : {512, 1024, 4096, 16384}) {
        Job job(config, 9);
        job.slots = slots;
        job.stream_tokens = 200'000;
        const ModelConfig candidate = job.Half(1);
        int widest = 6;
        for (double gib = 16; gib < 200; gib += 2) {
          const TrainingPlan plan = job.Plan(candidate, gib, tokens_per_step);
          if (plan.state_bytes + plan.pass_bytes > plan.available) continue;
          ++fitting;
          const ResidentBytes resident = job.Residents(gib);
          const int64_t bank = plan.bank_on_host ? 0 : resident.bank;
          CHECK(slots * plan.bytes() + resident.dense + resident.streams + resident.teachers + bank <=
                WithoutReserve(static_cast<int64_t>(gib * kGiB)));
          // A larger device never has narrower formats.
          const int width = (plan.masters == MastersFormat::kBFloat16 ? 3 : 0) + static_cast<int>(plan.moments);
          CHECK(width <= widest);
          widest = width;
        }
      }
    }
  }
  CHECK(fitting > 1000);
}

TEST_CASE("PlanTraining: passes that add up count two gradients, a step in one pass counts one", "[engine]") {
  TrainingDemand demand;
  demand.parameters = 1'000'000'000;
  demand.activation_bytes = 1 << 20;
  demand.recomputed_bytes = 1 << 17;
  demand.window_tokens = kLength;
  demand.step_tokens = 4 * kLength;
  // 12 GB of state in bf16, 4.3 GB of activations: one pass.
  const auto plan = [&](int64_t bytes) {
    return PlanTraining(demand, {}, (bytes + 2 * kWorkingBytes) / 92 * 100 + 200, 1);
  };
  CHECK(Way(plan(12'000'000'000 + (int64_t{4} << 30))) == "bfloat16 kept whole device");
  CHECK(Way(plan(12'000'000'000 + (int64_t{4} << 30) - 1'000'000)) == "bfloat16 kept 3072 device");
  // One window's activations (1.1 GB) would fit, the second gradient (2 GB) does not.
  CHECK(Way(plan(12'000'000'000 + 1'900'000'000)) == "byte kept 2048 device");
  CHECK(plan(12'000'000'000 + 2'000'000'000).pass_bytes == 2'000'000'000);
}

TEST_CASE("LargestShape: counts what a mask may keep at most", "[engine]") {
  const ModelConfig dense = EightB();
  LadderOptions options;
  options.attention_removed = {0, 8, 16, 32};
  options.ffn_levels = 5;
  for (const HeadGranularity granularity : {HeadGranularity::kHead, HeadGranularity::kKvGroup}) {
    for (const bool whole : {false, true}) {
      if (whole && granularity == HeadGranularity::kKvGroup) continue;  // no such ladder
      options.head_granularity = granularity;
      options.keep_kv_whole = whole;
      const auto ladder = BuildLadder(dense, options);
      REQUIRE_OK(ladder);
      Mask mask;
      mask.levels.assign(64, 0);
      mask.levels[2] = 2;
      mask.levels[3] = 4;
      mask.levels[4] = 3;
      const ModelConfig shape = LargestShape(dense, *ladder, mask);
      CHECK((shape.layers[0] == dense.layers[0]));
      CHECK(shape.layers[1].num_heads() == 16);
      CHECK(shape.layers[1].num_kv_heads == (whole || granularity == HeadGranularity::kHead ? 8 : 4));
      CHECK(shape.layers[1].ffn_width == 0);
      CHECK(shape.layers[2].num_heads() == 0);
      CHECK(shape.layers[2].num_kv_heads == 0);
      // Any order of the heads keeps as many or fewer parameters.
      HeadOrders orders(32);
      for (auto& order : orders) {
        for (int head = 0; head < 32; ++head) order.push_back(head);
      }
      CHECK(CountParameters(ApplyMask(dense, *ladder, mask, orders)) <= CountParameters(shape));
    }
  }
}

}  // namespace
}  // namespace espalier
