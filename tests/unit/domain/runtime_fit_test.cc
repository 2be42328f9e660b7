#include "common/domain/runtime_fit.h"

#include <algorithm>
#include <numeric>
#include <random>
#include <string>

#include "common/domain/mask.h"
#include "common/domain/runtime_profile.h"
#include "tests/support/catch.h"
#include "tests/unit/domain/shapes.h"

namespace espalier {
namespace {

using testing::Llama2_7B;
using testing::Llama31_8B;
using testing::MakeShape;
using testing::Qwen25_14B;
using testing::Tiny;

constexpr Runtime kRuntimes[] = {Runtime::kHuggingFace, Runtime::kGguf, Runtime::kNemotronNas, Runtime::kVllmAnyModel};

std::string MessageOf(const ModelConfig& candidate, Runtime runtime) {
  const absl::Status status = CheckRuntimeFits(candidate, runtime);
  REQUIRE_FALSE(status.ok());
  return std::string(status.message());
}

TEST_CASE("Runtime fits: every mask of a runtime's own ladder can be exported for it") {
  std::mt19937_64 random(7);
  const auto below = [&random](int bound) { return static_cast<int>(random() % static_cast<uint64_t>(bound)); };
  int tried[4] = {};
  for (const ModelConfig& dense : {Tiny(), Llama2_7B(), Llama31_8B(), Qwen25_14B(),
                                   MakeShape(960, 5, 15, 5, 64, 2560, 99, true)}) {
    for (const Runtime runtime : kRuntimes) {
      for (const HeadGranularity granularity : {HeadGranularity::kHead, HeadGranularity::kKvGroup}) {
        for (const int ffn_levels : {0, 5, 11}) {
          const auto ladder = BuildLadderForRuntime(
              dense, {.head_granularity = granularity, .ffn_levels = ffn_levels}, runtime);
          if (!ladder.ok()) continue;  // the combination is refused before a search, which ladder_test.cc covers
          for (int round = 0; round < 20; ++round) {
            Mask mask;
            for (const UnitLadder& unit : ladder->units) mask.levels.push_back(below(unit.num_levels()));
            HeadOrders orders;
            for (int layer = 0; layer < dense.num_layers; ++layer) {
              std::vector<int> groups(static_cast<size_t>(dense.num_kv_heads)), order;
              std::iota(groups.begin(), groups.end(), 0);
              std::shuffle(groups.begin(), groups.end(), random);
              for (const int group : groups)
                for (int i = 0; i < dense.heads_per_group(); ++i) order.push_back(group * dense.heads_per_group() + i);
              if (granularity == HeadGranularity::kHead) std::shuffle(order.begin(), order.end(), random);
              orders.push_back(order);
            }
            const absl::Status status = CheckRuntimeFits(ApplyMask(dense, *ladder, mask, orders), runtime);
            INFO(Name(runtime) << ": " << status.message());
            REQUIRE(status.ok());
            ++tried[static_cast<int>(runtime)];
          }
        }
      }
    }
  }
  for (const Runtime runtime : kRuntimes) CHECK(tried[static_cast<int>(runtime)] >= 300);
}

TEST_CASE("Runtime fits: what a runtime cannot hold is refused by its unit") {
  ModelConfig candidate = Tiny();  // 6 heads, 2 KV heads, width 512
  SECTION("query heads that share their KV heads unevenly") {
    candidate.layers[3].head_to_kv = {0, 0, 0, 1, 1};
    for (const Runtime runtime : {Runtime::kGguf, Runtime::kNemotronNas, Runtime::kVllmAnyModel})
      CHECK_THAT(MessageOf(candidate, runtime), Catch::Contains("attention[3]") && Catch::Contains("5 query heads"));
    CHECK(CheckRuntimeFits(candidate, Runtime::kHuggingFace).ok());
  }
  SECTION("equal shares in another order") {
    candidate.layers[2].head_to_kv = {0, 1, 0, 1, 0, 1};
    CHECK_THAT(MessageOf(candidate, Runtime::kGguf), Catch::Contains("attention[2]"));
  }
  SECTION("the first attention removed") {
    candidate.layers[0].head_to_kv.clear();
    candidate.layers[0].num_kv_heads = 0;
    CHECK_THAT(MessageOf(candidate, Runtime::kGguf), Catch::Contains("attention[0]"));
    CHECK_THAT(MessageOf(candidate, Runtime::kNemotronNas), Catch::Contains("attention[0]"));
    CHECK(CheckRuntimeFits(candidate, Runtime::kVllmAnyModel).ok());
    candidate.layers[0].ffn_width = 0;  // the whole layer removed
    CHECK(CheckRuntimeFits(candidate, Runtime::kNemotronNas).ok());
  }
  SECTION("another number of query heads") {
    candidate.layers[4].head_to_kv = {0, 0, 0};
    candidate.layers[4].num_kv_heads = 1;
    CHECK_THAT(MessageOf(candidate, Runtime::kNemotronNas), Catch::Contains("attention[4] keeps 3 query heads"));
    CHECK(CheckRuntimeFits(candidate, Runtime::kGguf).ok());
  }
  SECTION("a width outside of the buckets") {
    candidate.layers[5].ffn_width = 288;
    CHECK_THAT(MessageOf(candidate, Runtime::kNemotronNas), Catch::Contains("ffn[5] keeps 288 neurons"));
    CHECK(CheckRuntimeFits(candidate, Runtime::kGguf).ok());
  }
  SECTION("q/k norms") {
    candidate.qk_norm = true;
    CHECK_THAT(MessageOf(candidate, Runtime::kGguf), Catch::Contains("q/k norms"));
    CHECK_THAT(MessageOf(candidate, Runtime::kNemotronNas), Catch::Contains("q/k norms"));
    CHECK(CheckRuntimeFits(candidate, Runtime::kVllmAnyModel).ok());
  }
}

TEST_CASE("FfnMultOf: readers of ffn_mult get the very width back") {
  for (const int hidden : {64, 192, 960, 2048, 4096, 5120, 8192, 16384}) {
    for (int width = 256; width <= 57'344; width += 256) {
      const auto mult = FfnMultOf(width, hidden);
      REQUIRE_OK(mult);
      const int read = static_cast<int>(2 * *mult * hidden / 3);  // the readers' formula
      REQUIRE((read % 256 == 0 ? read : read + 256 - read % 256) == width);
    }
  }
}

}  // namespace
}  // namespace espalier
