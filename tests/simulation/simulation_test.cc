// Seeds of the simulation, and proof that it finds what is wrong. build/bin/espalier-simulation runs more of them.
#include <map>

#include "common/base/random.h"
#include "tests/simulation/world.h"
#include "tests/support/catch.h"

namespace espalier::simulation {
namespace {

// A part of the seeds in each test, so that they run side by side; in each part every kind of fault has its effect.
void RunSeeds(uint64_t first, uint64_t count) {
  int num_results = 0;
  int64_t num_collected = 0, num_stuck = 0, num_class_changes = 0;
  std::map<Fault, int> faults;
  for (uint64_t seed = first; seed < first + count; ++seed) {
    const Outcome outcome = Simulate(DrawProfile(seed, 0), Defect::kNone, false);
    num_results += outcome.num_results;
    num_collected += outcome.num_collected;
    num_stuck += outcome.num_stuck;
    num_class_changes += outcome.num_class_changes;
    for (const auto& [fault, times] : outcome.faults) faults[fault] += times;
    INFO("again, with its history: build/bin/espalier-simulation --verbose --seed " << seed);
    if (outcome.violation.has_value()) FAIL(outcome.violation->invariant << ": " << outcome.violation->what);
  }
  for (int i = 0; i < static_cast<int>(Fault::kCount); ++i) {
    INFO(Name(static_cast<Fault>(i)) << " never happened in " << count << " seeds");
    REQUIRE(faults[static_cast<Fault>(i)] > 0);
  }
  CHECK(num_results > static_cast<int>(count) / 2);  // searches were really run to their end and compared
  CHECK(num_collected > 0);
  CHECK(num_stuck > 0);
  CHECK(num_class_changes > 0);
}

TEST_CASE("Simulation: under drawn faults the invariants hold and every search is the undisturbed one (1)",
          "[simulation]") {
  RunSeeds(1, 150);
}

TEST_CASE("Simulation: under drawn faults the invariants hold and every search is the undisturbed one (2)",
          "[simulation]") {
  RunSeeds(151, 150);
}

// Most seeds have one to six workers; some are run with a fleet as well.
TEST_CASE("Simulation: under drawn faults the invariants hold for 20 to 60 workers", "[simulation]") {
  int num_results = 0;
  for (uint64_t seed = 20; seed <= 320; seed += 20) {
    const int num_workers = 20 + static_cast<int>(KeyedRandom(seed, "a fleet", {}).Below(41));
    const Outcome outcome = Simulate(DrawProfile(seed, num_workers), Defect::kNone, false);
    INFO("again, with its history: build/bin/espalier-simulation --verbose --seed " << seed << " --workers " << num_workers);
    if (outcome.violation.has_value()) FAIL(outcome.violation->invariant << ": " << outcome.violation->what);
    CHECK(outcome.num_workers >= num_workers);
    num_results += outcome.num_results;
  }
  CHECK(num_results >= 16);
}

TEST_CASE("Simulation: the same seed gives the same history, another seed another", "[simulation]") {
  const uint64_t first = Simulate(DrawProfile(5, 0), Defect::kNone, false).history_hash;
  CHECK(Simulate(DrawProfile(5, 0), Defect::kNone, false).history_hash == first);
  CHECK(Simulate(DrawProfile(6, 0), Defect::kNone, false).history_hash != first);
}

TEST_CASE("Simulation: an hour with a death a minute loses nothing", "[simulation]") {
  const Outcome outcome = Simulate(DayProfile(1, absl::Hours(1), 0), Defect::kNone, false);
  if (outcome.violation.has_value()) FAIL(outcome.violation->invariant << ": " << outcome.violation->what);
  CHECK(outcome.faults.at(Fault::kWorkerDeath) + outcome.faults.at(Fault::kCoordinatorDeath) >= 50);
  CHECK(outcome.num_results >= 3);
}

// Each seed has its own subset of the faults, so that a defect may need some until one provokes it (docs/reliability.md).
TEST_CASE("Simulation: each planted defect is found within 40 seeds", "[simulation]") {
  for (int i = 1; i < static_cast<int>(Defect::kCount); ++i) {
    const auto defect = static_cast<Defect>(i);
    INFO("defect: " << Name(defect));
    bool is_found = false;
    for (uint64_t seed = 41; seed <= 80 && !is_found; ++seed) {
      is_found = Simulate(DrawProfile(seed, 0), defect, false).violation.has_value();
    }
    CHECK(is_found);
  }
}

}  // namespace
}  // namespace espalier::simulation
