// Seeds, cut and altered seeds, and everything that a fuzzer ever found: in every build, also without a fuzzer.
#include <filesystem>

#include "common/base/random.h"
#include "tests/fuzz/targets.h"
#include "tests/support/catch.h"
#include "tests/support/paths.h"

namespace espalier::fuzz {
namespace {

const Target& TargetOf(const std::string& name) {
  for (const Target& target : Targets()) {
    if (target.name == name) return target;
  }
  FAIL("no target " << name);
  return Targets()[0];
}

TEST_CASE("Fuzz: what was found once does no harm", "[fuzz]") {
  int num_found = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(testing::SourcePath("tests/fuzz/found"))) {
    if (!entry.is_regular_file() || entry.path().extension() == ".md") continue;
    INFO(entry.path());
    TargetOf(entry.path().parent_path().filename().string()).run(FileOf(entry.path().string(), 1 << 20));
    ++num_found;
  }
  CHECK(num_found > 0);
}

TEST_CASE("Fuzz: seeds, cut anywhere and with bytes changed, do no harm", "[fuzz]") {
  for (const Target& target : Targets()) {
    const std::vector<std::string> seeds = target.seeds();
    INFO(target.name);
    REQUIRE_FALSE(seeds.empty());
    KeyedRandom random(1, target.name, {});
    for (const std::string& seed : seeds) {
      REQUIRE_FALSE(seed.empty());
      target.run(seed);
      for (int i = 0; i < 10; ++i) {
        std::string altered = seed.substr(0, random.Below(seed.size() + 1));
        target.run(altered);
        altered = seed;
        for (int change = 0; change < 3; ++change) {
          altered[random.Below(altered.size())] = static_cast<char>(random.Below(256));
        }
        target.run(altered);
      }
    }
  }
}

}  // namespace
}  // namespace espalier::fuzz
