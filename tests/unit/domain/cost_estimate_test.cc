#include "common/domain/cost_estimate.h"

#include "tests/support/catch.h"

namespace espalier {
namespace {

JobSpec TwoStages() {
  JobSpec spec;
  Phase phase;
  phase.generations = 10;
  phase.offspring = 16;
  phase.stages = {{4, 0, 1000}, {1, 10'000, 1000}};
  spec.phases = {phase};
  spec.calibration_tokens = 1000;
  return spec;
}

PlannedWork Planned() {
  PlannedWork planned;
  planned.train_tokens = 400'000;
  planned.score_tokens = 200'000;
  planned.recovery_tokens = 100'000;
  planned.dense_parameters = 2'000;
  planned.candidate_parameters = 1'000;
  return planned;
}

WorkRate OneSecondAMillion() {
  WorkRate rate;
  Measurement measurement;
  measurement.trained_tokens = 1000;
  measurement.scored_tokens = 0;
  measurement.parameters = 1000;
  measurement.train_seconds = 3;
  rate.Note(measurement, 2000);  // 3 forwards of 1000 tokens through 1000 parameters
  return rate;
}

TEST_CASE("EstimateTime: says unknown, and why, before anything was measured", "[domain]") {
  const TimeEstimate estimate = EstimateTime(TwoStages(), Planned(), WorkRate{}, 4);
  CHECK_FALSE(estimate.device_seconds.has_value());
  CHECK_FALSE(estimate.seconds.has_value());
  CHECK_THAT(estimate.basis, Catch::StartsWith("unknown: no evaluation on a CPU"));
}

TEST_CASE("EstimateTime: planned work at the measured rate, recovery on one device", "[domain]") {
  const TimeEstimate one = EstimateTime(TwoStages(), Planned(), OneSecondAMillion(), 1);
  // Trained tokens count three forwards: 1.4 G and 0.3 G of work at one million a second.
  CHECK(*one.device_seconds == Approx(1400 + 300));
  CHECK(*one.seconds == Approx(*one.device_seconds));
  const TimeEstimate four = EstimateTime(TwoStages(), Planned(), OneSecondAMillion(), 4);
  CHECK(*four.device_seconds == Approx(*one.device_seconds));
  CHECK(*four.seconds == Approx(1400.0 / 4 + 300));
  CHECK_FALSE(EstimateTime(TwoStages(), Planned(), OneSecondAMillion(), 0).seconds.has_value());
  WorkRate with_bank = OneSecondAMillion();
  with_bank.bank_work = 2'000'000;
  with_bank.bank_seconds = 5;
  CHECK(*EstimateTime(TwoStages(), Planned(), with_bank, 1).device_seconds == Approx(1700 + 5));
}

TEST_CASE("SpeedOfStages: more devices than candidates do not help", "[domain]") {
  CHECK(SpeedOfStages(TwoStages(), 1) == Approx(1));
  CHECK(SpeedOfStages(TwoStages(), 4) == Approx(4));
  // The second stage has four candidates: its 31 k of work is done in one round either way.
  CHECK(SpeedOfStages(TwoStages(), 16) == Approx((16 * 1000 + 4 * 31'000.0) / (1000 + 31'000)));
  CHECK(SpeedOfStages(TwoStages(), 1000) == Approx(SpeedOfStages(TwoStages(), 16)));
  CHECK(SpeedOfStages(JobSpec{}, 3) == 1);
}

TEST_CASE("WorkRate: infeasible candidates say nothing of the rate", "[domain]") {
  WorkRate rate = OneSecondAMillion();
  Measurement infeasible;
  infeasible.feasible = false;
  infeasible.train_seconds = 100;
  rate.Note(infeasible, 2000);
  CHECK(rate.num_evaluations == 1);
  CHECK(rate.seconds == Approx(3));
  CHECK(rate.work == Approx(3e6));
}

}  // namespace
}  // namespace espalier
