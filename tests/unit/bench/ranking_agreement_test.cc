#include "bench/ranking_agreement.h"

#include <limits>

#include "tests/support/catch.h"

namespace espalier::bench {
namespace {

// Ten candidates a tenth apart; a rounding moves each by at most 0.01.
StageFitness TenCandidates() {
  StageFitness stage;
  stage.survivors = 3;
  for (int i = 0; i < 10; ++i) {
    stage.plain.push_back(1 + 0.1 * i);
    stage.fast.push_back(1 + 0.1 * i + 0.005);
  }
  stage.nudged = {stage.fast, stage.fast};
  stage.nudged[1][4] += 0.01;
  return stage;
}

TEST_CASE("Agreement: the same order agrees, with its noise, its distance and its spread") {
  const StageAgreement found = Agreement(TenCandidates());
  CHECK(found.fault.empty());
  CHECK(found.spearman == Approx(1));
  CHECK(found.noise == Approx(0.01));
  CHECK(found.most_apart == Approx(0.005));
  CHECK(found.spread == Approx(0.9));
  CHECK(found.exchanged == 0);
}

TEST_CASE("Agreement: two candidates apart by less than the noise of both may change places, also over the survivors' edge") {
  StageFitness stage = TenCandidates();
  stage.plain[3] = stage.plain[2] + 0.015;
  std::swap(stage.fast[2], stage.fast[3]);
  stage.nudged[0] = stage.fast;
  stage.nudged[1] = stage.fast;
  stage.nudged[1][4] += 0.01;
  const StageAgreement found = Agreement(stage);
  CHECK(found.fault.empty());
  CHECK(found.exchanged == 1);
  CHECK(found.spearman < 1);
}

TEST_CASE("Agreement: two candidates that are further apart and change places are at fault, and named") {
  StageFitness stage = TenCandidates();
  std::swap(stage.fast[2], stage.fast[3]);
  stage.nudged = {stage.fast};
  stage.nudged[0][4] += 0.01;
  const StageAgreement found = Agreement(stage);
  CHECK_THAT(found.fault, Catch::Contains("candidate 2") && Catch::Contains("candidate 3"));
  CHECK(found.exchanged == 1);
}

TEST_CASE("Agreement: a large stage whose candidates all lie within the noise says nothing, a small one may") {
  StageFitness stage = TenCandidates();
  stage.nudged[1][4] += 1;
  CHECK_THAT(Agreement(stage).fault, Catch::Contains("says nothing"));
  StageFitness last;
  last.plain = {1, 1.001, 1.002};
  last.fast = {1.001, 1, 1.002};
  last.nudged = {{1.01, 1, 1}};
  CHECK(Agreement(last).fault.empty());
}

TEST_CASE("Agreement: a missing or infinite fitness is at fault") {
  StageFitness stage = TenCandidates();
  stage.nudged[0].pop_back();
  CHECK_FALSE(Agreement(stage).fault.empty());
  stage = TenCandidates();
  stage.nudged.clear();
  CHECK_FALSE(Agreement(stage).fault.empty());
  stage = TenCandidates();
  stage.fast[0] = std::numeric_limits<double>::infinity();
  CHECK_FALSE(Agreement(stage).fault.empty());
  CHECK_FALSE(Agreement(StageFitness{}).fault.empty());
}

}  // namespace
}  // namespace espalier::bench
