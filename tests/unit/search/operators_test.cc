// Properties of masks and operators over many random shapes and seeds.
#include <limits>
#include <map>
#include <set>

#include "coordinator/search/full.h"
#include "coordinator/search/knapsack.h"
#include "coordinator/search/mutation.h"
#include "coordinator/search/selection.h"
#include "coordinator/search/uniform.h"
#include "tests/support/catch.h"
#include "tests/unit/search/fake_evaluator.h"

namespace espalier {
namespace {

struct Case {
  ModelConfig dense;
  Ladder ladder;
  CostTable cost{0, {}};
  int64_t target = 0;
};

int Pick(KeyedRandom* random, std::initializer_list<int> values) {
  return *(values.begin() + random->Below(values.size()));
}

Case RandomCase(int64_t seed, int max_layers) {
  KeyedRandom random(static_cast<uint64_t>(seed), "case", {});
  Case test;
  ModelConfig& dense = test.dense;
  dense.num_layers = 1 + static_cast<int>(random.Below(max_layers));
  dense.num_kv_heads = Pick(&random, {1, 2, 4});
  dense.num_heads = dense.num_kv_heads * Pick(&random, {1, 2, 3});
  dense.head_size = Pick(&random, {8, 16, 24});
  dense.hidden_size = Pick(&random, {16, 48, 64});
  dense.ffn_width = Pick(&random, {64, 96, 160, 250});
  dense.vocabulary_size = 50;
  dense.qkv_bias = random.Below(2) == 0;
  dense.tied_embeddings = random.Below(2) == 0;
  dense.layers.assign(dense.num_layers, DenseLayer(dense));
  LadderOptions options;
  options.head_granularity = random.Below(2) == 0 ? HeadGranularity::kHead : HeadGranularity::kKvGroup;
  options.keep_kv_whole = options.head_granularity == HeadGranularity::kHead && random.Below(2) == 0;
  options.width_multiple = Pick(&random, {1, 8, 32});
  options.ffn_levels = 2 + static_cast<int>(random.Below(4));
  const auto ladder = BuildLadder(dense, options);
  REQUIRE_OK(ladder);
  test.ladder = *ladder;
  HeadOrders orders;
  for (int layer = 0; layer < dense.num_layers; ++layer) {
    const int group = options.head_granularity == HeadGranularity::kKvGroup ? dense.heads_per_group() : 1;
    std::vector<int> order;
    for (int64_t first : KeyedPermutation(static_cast<uint64_t>(seed), "heads", {layer}, dense.num_heads / group)) {
      for (int i = 0; i < group; ++i) order.push_back(static_cast<int>(first) * group + i);
    }
    orders.push_back(order);
  }
  CostOptions cost;
  cost.kind = static_cast<CostKind>(random.Below(3));
  cost.context_tokens = static_cast<int64_t>(random.Below(100));
  test.cost = BuildCostTable(dense, test.ladder, cost, orders);
  const Mask intact{std::vector<int>(test.ladder.units.size(), 0)};
  const double share = 0.1 + 0.9 * random.Unit();
  const int64_t range = test.cost.Of(intact) - test.cost.constant();
  test.target = test.cost.constant() + static_cast<int64_t>(share * static_cast<double>(range));
  return test;
}

void RequireGood(const Case& test, const Mask& mask) {
  REQUIRE(Validate(test.ladder, mask).ok());
  REQUIRE(test.cost.Of(mask) <= test.target);
  REQUIRE(IsFull(test.cost, test.target, mask));
}

TEST_CASE("Masks: uniform, repaired and mutated ones fit the target and are full") {
  for (int64_t seed = 0; seed < 300; ++seed) {
    const Case test = RandomCase(seed, 6);
    const Mask uniform = UniformMask(test.ladder, test.cost, test.target);
    RequireGood(test, uniform);
    KeyedRandom random(static_cast<uint64_t>(seed), "repair", {});
    for (int level : {0, 1}) {
      Mask mask;
      for (const UnitLadder& unit : test.ladder.units) mask.levels.push_back(level == 0 ? 0 : unit.num_levels() - 1);
      RestoreBudget(test.cost, test.ladder, test.target, &random, &mask);
      RequireGood(test, mask);
    }
    const MutationWeights weights = {random.Unit(), random.Unit()};
    std::set<std::string> digests = {Digest(test.ladder, uniform)};
    const auto offspring =
        DrawOffspring(uniform, test.ladder, test.cost, test.target, weights, static_cast<uint64_t>(seed), 3, 16);
    for (const Offspring& child : offspring) {
      RequireGood(test, child.mask);
      REQUIRE(child.digest == Digest(test.ladder, child.mask));
      REQUIRE(digests.insert(child.digest).second);
    }
    const auto again =
        DrawOffspring(uniform, test.ladder, test.cost, test.target, weights, static_cast<uint64_t>(seed), 3, 16);
    REQUIRE(again.size() == offspring.size());
    for (size_t i = 0; i < again.size(); ++i) REQUIRE(again[i].digest == offspring[i].digest);
  }
}

TEST_CASE("UniformMask: no smaller share fits") {
  for (int64_t seed = 0; seed < 100; ++seed) {
    const Case test = RandomCase(seed, 4);
    const Mask uniform = UniformMask(test.ladder, test.cost, test.target);
    // Before it was made full, every unit removed at least s; the smallest share that fits is found here by trying all.
    std::vector<double> shares;
    for (const UnitLadder& unit : test.ladder.units) {
      for (int removed : unit.removed) shares.push_back(static_cast<double>(removed) / unit.size);
    }
    std::sort(shares.begin(), shares.end());
    for (double share : shares) {
      Mask mask;
      for (const UnitLadder& unit : test.ladder.units) {
        int level = 0;
        while (static_cast<double>(unit.removed[level]) / unit.size < share - 1e-12) ++level;
        mask.levels.push_back(level);
      }
      if (test.cost.Of(mask) > test.target) continue;
      MakeFullInOrder(test.cost, test.target, &mask);
      REQUIRE(mask == uniform);
      break;
    }
  }
}

TEST_CASE("Mutate: same-kind switches keep each kind's sum of levels, cross-kind ones move it") {
  Case test;
  for (int layer = 0; layer < 6; ++layer) {
    test.ladder.units.push_back({{UnitKind::kAttention, layer}, 8, {0, 2, 4, 6, 8}});
    test.ladder.units.push_back({{UnitKind::kFfn, layer}, 64, {0, 16, 32, 48, 64}});
  }
  const Mask parent{std::vector<int>(12, 2)};
  const auto sum_of = [&](const Mask& mask, UnitKind kind) {
    int sum = 0;
    for (size_t i = 0; i < mask.levels.size(); ++i) sum += test.ladder.units[i].unit.kind == kind ? mask.levels[i] : 0;
    return sum;
  };
  KeyedRandom random(1, "mutate", {});
  int num_moved = 0;
  std::map<Operator, int> num_by;  // with both at the same weight
  int most_changed = 0;
  for (int i = 0; i < 2000; ++i) {
    const Mutation within = Mutate(parent, test.ladder, {1, 0}, &random);
    REQUIRE(within.by == Operator::kSameKind);
    const Mask& same = within.mask;
    REQUIRE(sum_of(same, UnitKind::kAttention) == sum_of(parent, UnitKind::kAttention));
    REQUIRE(sum_of(same, UnitKind::kFfn) == sum_of(parent, UnitKind::kFfn));
    int changed = 0;
    for (size_t u = 0; u < same.levels.size(); ++u) changed += std::abs(same.levels[u] - parent.levels[u]);
    most_changed = std::max(most_changed, changed);
    const Mutation across = Mutate(parent, test.ladder, {0, 1}, &random);
    REQUIRE(across.by == Operator::kCrossKind);
    const Mask& cross = across.mask;
    ++num_by[Mutate(parent, test.ladder, {1, 1}, &random).by];
    REQUIRE(sum_of(cross, UnitKind::kAttention) + sum_of(cross, UnitKind::kFfn) ==
            sum_of(parent, UnitKind::kAttention) + sum_of(parent, UnitKind::kFfn));
    num_moved += sum_of(cross, UnitKind::kAttention) != sum_of(parent, UnitKind::kAttention);
  }
  CHECK(num_moved > 500);
  // One switch in 5 of 9 draws, two in 3, three in 1: 37 %, 37 % and 26 % are expected.
  CHECK(num_by[Operator::kSameKind] > 600);
  CHECK(num_by[Operator::kCrossKind] > 600);
  CHECK(num_by[Operator::kBothKinds] > 400);
  CHECK(most_changed <= 6);  // three switches
  CHECK(most_changed > 2);
}

TEST_CASE("DrawOffspring: a space with fewer masks than asked for gives them all and stops") {
  Case test = RandomCase(0, 1);
  test.ladder.units = {{{UnitKind::kAttention, 0}, 2, {0, 1, 2}}, {{UnitKind::kFfn, 0}, 2, {0, 1, 2}}};
  test.cost = CostTable(0, {{2, 1, 0}, {2, 1, 0}});
  test.target = 2;  // full masks: (0,2), (1,1), (2,0)
  const auto offspring = DrawOffspring(Mask{{1, 1}}, test.ladder, test.cost, test.target, {1, 1}, 3, 0, 16);
  CHECK(offspring.size() == 2);
  // With same-kind switches and one unit a kind nothing can change.
  CHECK(DrawOffspring(Mask{{1, 1}}, test.ladder, test.cost, test.target, {1, 0}, 3, 0, 16).empty());
}

// All masks of the ladder, for ladders small enough.
template <typename Visit>
void ForEveryMask(const Ladder& ladder, const Visit& visit) {
  Mask mask{std::vector<int>(ladder.units.size(), 0)};
  while (true) {
    visit(mask);
    size_t unit = 0;
    while (unit < mask.levels.size() && ++mask.levels[unit] == ladder.units[unit].num_levels()) mask.levels[unit++] = 0;
    if (unit == mask.levels.size()) return;
  }
}

TEST_CASE("SolveKnapsack: the optimum equals that of trying every mask") {
  for (int64_t seed = 0; seed < 150; ++seed) {
    const Case test = RandomCase(seed, 2);
    KeyedRandom random(static_cast<uint64_t>(seed), "scores", {});
    std::vector<std::vector<double>> scores;
    for (const UnitLadder& unit : test.ladder.units) {
      scores.emplace_back();
      for (int level = 0; level < unit.num_levels(); ++level) scores.back().push_back(level * random.Unit());
    }
    double best = std::numeric_limits<double>::infinity();
    ForEveryMask(test.ladder, [&](const Mask& mask) {
      if (test.cost.Of(mask) > test.target) return;
      double sum = 0;
      for (size_t unit = 0; unit < scores.size(); ++unit) sum += scores[unit][mask.levels[unit]];
      best = std::min(best, sum);
    });
    auto solution = SolveKnapsack(test.cost, scores, test.target, kMaxKnapsackEntries);
    REQUIRE_OK(solution);
    REQUIRE(solution->warning.empty());
    REQUIRE(solution->score == Approx(best).margin(1e-12));
    REQUIRE(test.cost.Of(solution->mask) <= test.target);
    MakeFullByScore(test.cost, test.target, scores, &solution->mask);
    RequireGood(test, solution->mask);
    // A table too small for the exact steps: the target still holds, and it is said.
    const int64_t few = static_cast<int64_t>(scores.size()) * 20;
    const auto coarse = SolveKnapsack(test.cost, scores, test.target, few);
    REQUIRE_OK(coarse);
    REQUIRE(test.cost.Of(coarse->mask) <= test.target);
    REQUIRE(coarse->score >= best - 1e-12);
    if (coarse->cost_step > solution->cost_step) REQUIRE_FALSE(coarse->warning.empty());
  }
}

TEST_CASE("SolveKnapsack: a target below the cheapest levels is refused") {
  const CostTable cost(10, {{5, 3}, {7, 2}});
  CHECK(SolveKnapsack(cost, {{0, 1}, {0, 1}}, 15, kMaxKnapsackEntries).ok());
  CHECK_FALSE(SolveKnapsack(cost, {{0, 1}, {0, 1}}, 14, kMaxKnapsackEntries).ok());
}

Ranked Member(int candidate, const char* digest, double fitness, bool feasible) {
  Measurement measurement;
  measurement.fitness = fitness;
  measurement.feasible = feasible;
  return {candidate, digest, measurement};
}

TEST_CASE("Rank: lower is better, ties go by digest, infeasible members are out") {
  const auto ranked = Rank(
      {Member(0, "c", 0.5, true), Member(1, "a", 0.5, true), Member(2, "b", 0.1, false), Member(3, "d", 0.2, true)});
  REQUIRE(ranked.size() == 3);
  CHECK(ranked[0].candidate == 3);
  CHECK(ranked[1].candidate == 1);
  CHECK(ranked[2].candidate == 0);
}

TEST_CASE("RankAgreement: 1 for the same order, -1 for the reverse, 0 where there is none") {
  CHECK(RankAgreement({1, 2, 3}, {10, 20, 30}) == Approx(1));
  CHECK(RankAgreement({1, 2, 3}, {3, 2, 1}) == Approx(-1));
  CHECK(RankAgreement({1, 1, 1}, {3, 2, 1}) == 0);
  CHECK(RankAgreement({1}, {1}) == 0);
  CHECK(RankAgreement({1, 2, 2, 3}, {1, 2, 3, 4}) == Approx(0.9486832981));
}

}  // namespace
}  // namespace espalier
