#include "common/domain/evaluation_windows.h"

#include "tests/support/catch.h"

namespace espalier {
namespace {

TEST_CASE("EvaluationWindows: spreads fewer windows evenly and gives all when there are no more", "[engine]") {
  REQUIRE(*EvaluationWindows(10 * 64 + 63, 64, 4) == std::vector<int64_t>{0, 2, 5, 7});
  REQUIRE(*EvaluationWindows(3 * 64, 64, 0) == std::vector<int64_t>{0, 1, 2});
  REQUIRE(*EvaluationWindows(3 * 64, 64, 128) == std::vector<int64_t>{0, 1, 2});
  const auto many = EvaluationWindows(int64_t{1000003} * 512, 512, 128);
  REQUIRE_OK(many);
  for (int64_t i = 0; i < 128; ++i) REQUIRE((*many)[i] == i * 1000003 / 128);
}

TEST_CASE("EvaluationWindows: refuses what holds no prediction, with the numbers", "[engine]") {
  const auto few = EvaluationWindows(63, 64, 4);
  REQUIRE(few.status().code() == absl::StatusCode::kInvalidArgument);
  REQUIRE_THAT(testing::StatusText(few), Catch::Matchers::Contains("63") && Catch::Matchers::Contains("64"));
  REQUIRE_FALSE(EvaluationWindows(100, 1, 4).ok());
  REQUIRE_FALSE(EvaluationWindows(100, 10, -1).ok());
}

}  // namespace
}  // namespace espalier
