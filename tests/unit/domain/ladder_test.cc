#include "common/domain/ladder.h"

#include "common/domain/mask.h"
#include "common/domain/runtime_profile.h"
#include "tests/support/catch.h"
#include "tests/unit/domain/shapes.h"

namespace espalier {
namespace {

using testing::Llama2_7B;
using testing::Llama31_8B;
using testing::Qwen25_14B;
using testing::Tiny;

std::vector<int> AttentionOf(const Ladder& ladder) { return ladder.units[0].removed; }
std::vector<int> FfnOf(const Ladder& ladder) { return ladder.units[1].removed; }

TEST_CASE("BuildLadder: defaults give one level a head or group and at most 17 widths") {
  const auto by_group = BuildLadder(Tiny(), {});
  REQUIRE_OK(by_group);
  CHECK(by_group->units.size() == 16);
  CHECK(Name(by_group->units[3].unit) == "ffn[1]");
  CHECK(AttentionOf(*by_group) == std::vector<int>{0, 3, 6});
  CHECK(FfnOf(*by_group).size() == 17);
  CHECK(FfnOf(*by_group)[1] == 32);
  const auto by_head = BuildLadder(Tiny(), {.head_granularity = HeadGranularity::kHead});
  CHECK(AttentionOf(*by_head) == std::vector<int>{0, 1, 2, 3, 4, 5, 6});
  const auto large = BuildLadder(Llama31_8B(), {});
  CHECK(AttentionOf(*large).size() == 9);
  CHECK(FfnOf(*large).size() == 17);
}

TEST_CASE("BuildLadder: 11 levels reproduce the published FFN grids") {
  CHECK(FfnOf(*BuildLadder(Llama31_8B(), {.ffn_levels = 11})) ==
        std::vector<int>{0, 1440, 2880, 4288, 5728, 7168, 8608, 10048, 11456, 12896, 14336});
  CHECK(FfnOf(*BuildLadder(Qwen25_14B(), {.ffn_levels = 11})) ==
        std::vector<int>{0, 1376, 2752, 4160, 5536, 6912, 8288, 9664, 11072, 12448, 13824});
}

TEST_CASE("BuildLadder: kept widths are multiples and levels rise for any number of levels") {
  for (int multiple : {1, 3, 32, 100, 256, 512}) {
    for (int levels = 2; levels < 40; ++levels) {
      const auto ladder = BuildLadder(Tiny(), {.head_granularity = HeadGranularity::kHead,
                                               .attention_levels = levels,
                                               .ffn_levels = levels,
                                               .width_multiple = multiple});
      REQUIRE_OK(ladder);
      for (const UnitLadder& unit : ladder->units) {
        REQUIRE(unit.removed.front() == 0);
        REQUIRE(unit.removed.back() == unit.size);
        for (int k = 1; k < unit.num_levels(); ++k) {
          REQUIRE(unit.removed[k] > unit.removed[k - 1]);
          if (unit.unit.kind == UnitKind::kFfn) REQUIRE((unit.size - unit.removed[k]) % multiple == 0);
        }
      }
    }
  }
}

TEST_CASE("BuildLadder: an option that cannot be met is refused with its name and value") {
  const auto message = [](const LadderOptions& options) {
    return std::string(BuildLadder(Tiny(), options).status().message());
  };
  CHECK_THAT(message({.attention_levels = 1}), Catch::Contains("ladder.attention_levels is 1"));
  CHECK_THAT(message({.ffn_levels = -2}), Catch::Contains("ladder.ffn_levels is -2"));
  CHECK_THAT(message({.width_multiple = 0}), Catch::Contains("ladder.width_multiple is 0"));
  CHECK_THAT(message({.width_multiple = 1000}), Catch::Contains("1000"));
  CHECK_THAT(message({.attention_removed = {0, 2, 6}}), Catch::Contains("attention_removed") && Catch::Contains("2"));
  CHECK_THAT(message({.attention_removed = {3, 6}}), Catch::Contains("start with 0"));
  CHECK_THAT(message({.ffn_removed = {0, 64, 64, 512}}), Catch::Contains("rise"));
  CHECK_THAT(message({.ffn_removed = {0, 50, 512}}), Catch::Contains("multiple of 32"));
  CHECK_THAT(message({.ffn_removed = {0, 64}}), Catch::Contains("512"));
  CHECK_THAT(message({.keep_kv_whole = true}), Catch::Contains("keep_kv_whole"));
}

TEST_CASE("Runtime profiles: ladders hold only what the runtime can load") {
  SECTION("NEMOTRON_NAS keeps query heads whole and FFN widths at multiples of 256") {
    const auto ladder = BuildLadderForRuntime(Llama31_8B(), {.ffn_levels = 17}, Runtime::kNemotronNas);
    REQUIRE_OK(ladder);
    CHECK(AttentionOf(*ladder) == std::vector<int>{0});  // layer 0 keeps its attention
    CHECK(ladder->units[2].removed == std::vector<int>{0, 32});
    for (int removed : FfnOf(*ladder)) CHECK((14336 - removed) % 256 == 0);
    CHECK_FALSE(BuildLadderForRuntime(Llama31_8B(), {.attention_removed = {0, 4, 32}}, Runtime::kNemotronNas).ok());
  }
  SECTION("GGUF wants regular groups, attention in layer 0 and no q/k norms") {
    const auto ladder = BuildLadderForRuntime(Llama31_8B(), {}, Runtime::kGguf);
    REQUIRE_OK(ladder);
    CHECK(AttentionOf(*ladder) == std::vector<int>{0});
    CHECK(ladder->units[2].removed.back() == 32);
    CHECK_FALSE(BuildLadderForRuntime(Llama31_8B(), {.head_granularity = HeadGranularity::kHead}, Runtime::kGguf).ok());
    CHECK(BuildLadderForRuntime(Llama2_7B(), {.head_granularity = HeadGranularity::kHead}, Runtime::kGguf).ok());
    ModelConfig with_norms = Llama31_8B();
    with_norms.qk_norm = true;
    CHECK_THAT(std::string(BuildLadderForRuntime(with_norms, {}, Runtime::kGguf).status().message()),
               Catch::Contains("GGUF") && Catch::Contains("q/k norms"));
  }
  SECTION("VLLM_ANYMODEL has no map from query to KV heads") {
    CHECK(BuildLadderForRuntime(Llama31_8B(), {}, Runtime::kVllmAnyModel).ok());
    CHECK_FALSE(BuildLadderForRuntime(Llama31_8B(), {.head_granularity = HeadGranularity::kHead, .keep_kv_whole = true},
                                      Runtime::kVllmAnyModel)
                    .ok());
  }
}

TEST_CASE("Unit names: what is written is read back, anything else is refused") {
  for (const char* name : {"attention[0]", "ffn[31]"}) CHECK(Name(*ParseUnit(name)) == name);
  for (const char* bad : {"attention", "ffn[]", "ffn[-1]", "ffn[01]", "ffn[1", "mlp[1]", "ffn[1]x", ""}) {
    INFO(bad);
    CHECK_FALSE(ParseUnit(bad).ok());
  }
}

TEST_CASE("Mask: the digest depends on removed counts, not on the ladder that names them") {
  const auto coarse = BuildLadder(Tiny(), {.ffn_levels = 3});
  const auto fine = BuildLadder(Tiny(), {});
  const auto a = MaskFromRemoved(*coarse, {{"ffn[2]", 256}, {"attention[1]", 3}});
  const auto b = MaskFromRemoved(*fine, {{"attention[1]", 3}, {"ffn[2]", 256}});
  REQUIRE_OK(a);
  REQUIRE_OK(b);
  CHECK(a->levels != b->levels);
  CHECK(Digest(*coarse, *a) == Digest(*fine, *b));
  CHECK(CanonicalBytes(*fine, *b).find("ffn[2] 256\n") != std::string::npos);
  Mask other = *b;
  other.levels[0] = 1;
  CHECK(Digest(*fine, other) != Digest(*fine, *b));
}

TEST_CASE("MaskFromRemoved: unknown units, doubled units and counts off the ladder are refused") {
  const auto ladder = BuildLadder(Tiny(), {});
  CHECK_THAT(std::string(MaskFromRemoved(*ladder, {{"ffn[8]", 32}}).status().message()), Catch::Contains("ffn[8]"));
  CHECK_THAT(std::string(MaskFromRemoved(*ladder, {{"ffn[1]", 33}}).status().message()), Catch::Contains("33"));
  CHECK_FALSE(MaskFromRemoved(*ladder, {{"ffn[1]", 32}, {"ffn[1]", 32}}).ok());
  CHECK_FALSE(Validate(*ladder, Mask{{0, 0}}).ok());
  Mask mask{std::vector<int>(16, 0)};
  CHECK(Validate(*ladder, mask).ok());
  mask.levels[5] = 17;
  CHECK_FALSE(Validate(*ladder, mask).ok());
}

}  // namespace
}  // namespace espalier
