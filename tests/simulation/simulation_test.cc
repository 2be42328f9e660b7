// Seeds of the simulation, and proof that it finds what is wrong. build/bin/espalier-simulation runs more of them.
#include "tests/simulation/world.h"
#include "tests/support/catch.h"

namespace espalier::simulation {
namespace {

// A part of the seeds in each test, so that they run side by side.
void RunSeeds(uint64_t first, uint64_t count) {
  int num_results = 0;
  int64_t num_collected = 0, num_stuck = 0;
  for (uint64_t seed = first; seed < first + count; ++seed) {
    const Outcome outcome = Simulate(DrawProfile(seed, 0), Defect::kNone, false);
    num_results += outcome.num_results;
    num_collected += outcome.num_collected;
    num_stuck += outcome.num_stuck;
    INFO("again, with its history: build/bin/espalier-simulation --verbose --seed " << seed);
    if (outcome.violation.has_value()) FAIL(outcome.violation->invariant << ": " << outcome.violation->what);
  }
  CHECK(num_results > static_cast<int>(count) / 2);  // searches were really run to their end and compared
  CHECK(num_collected > 0);
  CHECK(num_stuck > 0);
}

TEST_CASE("Simulation: under drawn faults the invariants hold and every search is the undisturbed one (1)",
          "[simulation]") {
  RunSeeds(1, 150);
}

TEST_CASE("Simulation: under drawn faults the invariants hold and every search is the undisturbed one (2)",
          "[simulation]") {
  RunSeeds(151, 150);
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

// Every seed here has all faults, and so many of them is what it may take (docs/reliability.md).
TEST_CASE("Simulation: each planted defect is found within 40 seeds", "[simulation]") {
  for (int i = 1; i < static_cast<int>(Defect::kCount); ++i) {
    const auto defect = static_cast<Defect>(i);
    INFO("defect: " << Name(defect));
    bool is_found = false;
    for (uint64_t seed = 1; seed <= 40 && !is_found; ++seed) {
      is_found = Simulate(DrawProfile(seed, 0), defect, false).violation.has_value();
    }
    CHECK(is_found);
  }
}

}  // namespace
}  // namespace espalier::simulation
