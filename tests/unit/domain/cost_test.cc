#include "common/domain/cost.h"

#include <cmath>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "tests/support/catch.h"
#include "tests/unit/domain/shapes.h"

namespace espalier {
namespace {

using testing::Llama2_7B;
using testing::Llama31_8B;
using testing::Qwen25_14B;
using testing::Tiny;

HeadOrders AscendingOrders(const ModelConfig& dense) {
  std::vector<int> order(dense.num_heads);
  std::iota(order.begin(), order.end(), 0);
  return HeadOrders(dense.num_layers, order);
}

std::vector<int> Divided(std::vector<int> values, int divisor) {
  for (int& value : values) value /= divisor;
  return values;
}

// Billions of parameters with every unit at one level, to two decimals.
double Billions(const ModelConfig& dense, const Ladder& ladder, int level) {
  Mask mask;
  mask.levels.assign(ladder.units.size(), level);
  const int64_t count = CountParameters(ApplyMask(dense, ladder, mask, AscendingOrders(dense)));
  REQUIRE(count == BuildCostTable(dense, ladder, {}, AscendingOrders(dense)).Of(mask));
  return std::round(static_cast<double>(count) / 1e7) / 100;
}

Ladder PublishedLadder(const ModelConfig& dense, bool keep_kv_whole, const std::vector<int>& attention_columns,
                       const std::vector<int>& ffn) {
  LadderOptions options;
  options.head_granularity = HeadGranularity::kHead;
  options.keep_kv_whole = keep_kv_whole;
  options.attention_removed = Divided(attention_columns, dense.head_size);
  options.ffn_removed = ffn;
  const auto ladder = BuildLadder(dense, options);
  REQUIRE_OK(ladder);
  return *ladder;
}

TEST_CASE("Cost: parameter counts at uniform levels equal those of the published grids") {
  const std::vector<int> llama_attention = {0, 512, 896, 1408, 1792, 2304, 2816, 3328, 3584, 3968, 4096};
  SECTION("Llama-2-7B, whose KV heads go with their query heads") {
    const ModelConfig dense = Llama2_7B();
    const Ladder ladder = PublishedLadder(dense, false, llama_attention,
                                          {0, 1088, 2080, 2976, 4512, 5728, 6752, 7904, 9184, 10144, 11008});
    for (const auto& [level, billions] : std::vector<std::pair<int, double>>{
             {0, 6.74}, {3, 4.83}, {4, 4.02}, {5, 3.28}, {6, 2.61}, {7, 1.89}, {10, 0.26}}) {
      CHECK(Billions(dense, ladder, level) == Approx(billions));
    }
  }
  SECTION("Llama-3.1-8B with k and v whole") {
    const ModelConfig dense = Llama31_8B();
    const Ladder ladder = PublishedLadder(dense, true, llama_attention,
                                          {0, 1440, 2880, 4288, 5728, 7168, 8608, 10048, 11456, 12896, 14336});
    for (const auto& [level, billions] :
         std::vector<std::pair<int, double>>{{0, 8.03}, {3, 5.98}, {4, 5.31}, {5, 4.61}, {6, 3.91}, {7, 3.21}}) {
      CHECK(Billions(dense, ladder, level) == Approx(billions));
    }
    // The published count at level 10, 1.32, keeps k and v of removed units; here a removed unit costs nothing.
    CHECK(Billions(dense, ladder, 10) == Approx(1.05));
  }
  SECTION("Qwen2.5-14B with k and v whole") {
    const ModelConfig dense = Qwen25_14B();
    const Ladder ladder = PublishedLadder(dense, true, {0, 512, 1024, 1536, 2048, 2560, 3072, 3584, 4096, 4608, 5120},
                                          {0, 1376, 2752, 4160, 5536, 6912, 8288, 9664, 11072, 12448, 13824});
    for (const auto& [level, billions] :
         std::vector<std::pair<int, double>>{{0, 14.77}, {3, 10.95}, {4, 9.68}, {5, 8.42}, {6, 7.15}, {7, 5.88}}) {
      CHECK(Billions(dense, ladder, level) == Approx(billions));
    }
  }
}

TEST_CASE("Cost: the tiny model's counts are those of its checkpoint") {
  const ModelConfig dense = Tiny();
  CHECK(CountParameters(dense) == 3935424);
  const auto ladder = BuildLadder(dense, {.head_granularity = HeadGranularity::kHead});
  REQUIRE_OK(ladder);
  const CostTable table = BuildCostTable(dense, *ladder, {}, AscendingOrders(dense));
  const auto target = ParseTarget("60%");
  REQUIRE_OK(target);
  const auto budget = ResolveTarget(*target, table);
  REQUIRE_OK(budget);
  CHECK(*budget == 2361254);
  Mask removed;
  for (const UnitLadder& unit : ladder->units) removed.levels.push_back(unit.num_levels() - 1);
  CHECK(table.Of(removed) == 4096 * 192 + 192);
}

TEST_CASE("Cost: KV heads that no kept query head reads are dropped with HEAD, and stay when k and v are whole") {
  const ModelConfig dense = Tiny();
  const HeadOrders orders(dense.num_layers, {0, 3, 1, 2, 4, 5});
  auto ladder = BuildLadder(dense, {.head_granularity = HeadGranularity::kHead});
  REQUIRE_OK(ladder);
  Mask mask;
  mask.levels.assign(ladder->units.size(), 0);
  mask.levels[0] = 4;  // heads 4 and 5 stay, both of group 1
  const ModelConfig candidate = ApplyMask(dense, *ladder, mask, orders);
  CHECK(candidate.layers[0].head_to_kv == std::vector<int>{0, 0});
  CHECK(candidate.layers[0].num_kv_heads == 1);
  CHECK(BuildCostTable(dense, *ladder, {}, orders).Of(mask) == CountParameters(candidate));
  // Without orders the preview counts KV heads whole.
  CHECK(BuildCostTable(dense, *ladder, {}, std::nullopt).Of(mask) == CountParameters(candidate) + 2 * 192 * 32);

  ladder->keep_kv_whole = true;
  const ModelConfig whole = ApplyMask(dense, *ladder, mask, orders);
  CHECK(whole.layers[0].head_to_kv == std::vector<int>{1, 1});
  CHECK(whole.layers[0].num_kv_heads == 2);
  CHECK(BuildCostTable(dense, *ladder, {}, orders).Of(mask) == CountParameters(whole));
}

TEST_CASE("Cost: FLOPs and bytes count attention by the context") {
  const ModelConfig dense = Tiny();
  const auto ladder = BuildLadder(dense, {});
  REQUIRE_OK(ladder);
  Mask intact;
  intact.levels.assign(ladder->units.size(), 0);
  const CostTable flops = BuildCostTable(dense, *ladder, {CostKind::kFlopsPerToken, 1000}, std::nullopt);
  const int64_t layer = 2 * 192 * (192 + 64 + 64 + 192) + 4 * 192 * 1000 + 2 * 3 * 192 * 512;
  CHECK(flops.Of(intact) == 8 * layer + 2 * 192 * 4096);
  const CostTable bytes = BuildCostTable(dense, *ladder, {CostKind::kBytes, 1000}, std::nullopt);
  CHECK(bytes.Of(intact) == 2 * 3935424 + 8 * 2 * 2 * 64 * 1000);
  Mask one_group = intact;
  one_group.levels[0] = 1;
  CHECK(bytes.Delta(intact, 0, 1) == bytes.Of(one_group) - bytes.Of(intact));
  CHECK(bytes.Delta(intact, 0, 1) == -2 * (192 * (96 + 32 + 32 + 96) + 2 * 32 * 1000));
}

TEST_CASE("ParseTarget: shares and counts are read, everything else is refused with what is accepted") {
  CHECK(ParseTarget("60%")->share == Approx(0.6));
  CHECK(ParseTarget("2.36M")->count == 2360000);
  CHECK(ParseTarget("4.6B")->count == 4600000000);
  CHECK(ParseTarget("2362560")->count == 2362560);
  CHECK(ParseTarget(" 512MiB ")->count == 512 * 1048576);
  for (const char* bad : {"", "%", "0%", "101%", "-3", "1.5", "1e6", "M", "2..3M", "nan", "inf%", "60%%", "0",
                          "99999999999999999999", "9e9T"}) {
    const auto target = ParseTarget(bad);
    INFO(bad);
    REQUIRE_FALSE(target.ok());
    CHECK_THAT(std::string(target.status().message()), Catch::Contains(absl::StrCat("'", bad, "'")));
  }
  CHECK_THAT(std::string(ParseTarget("20ms").status().message()), Catch::Contains("latency"));
}

TEST_CASE("ResolveTarget: a budget above the dense cost or below the ladder's reach is refused with the numbers") {
  const ModelConfig dense = Tiny();
  const auto ladder = BuildLadder(dense, {});
  const CostTable table = BuildCostTable(dense, *ladder, {}, std::nullopt);
  CHECK_THAT(std::string(ResolveTarget({0, 3935425}, table).status().message()),
             Catch::Contains("3935425") && Catch::Contains("3935424"));
  CHECK_THAT(std::string(ResolveTarget({0, 1000}, table).status().message()), Catch::Contains("786624"));
  CHECK_THAT(std::string(ResolveTarget({0.1, 0}, table).status().message()),
             Catch::Contains("10%") && Catch::Contains("786624"));
  CHECK(*ResolveTarget({1, 0}, table) == 3935424);
  CHECK_FALSE(ResolveTarget({0, 0}, table).ok());
}

}  // namespace
}  // namespace espalier
