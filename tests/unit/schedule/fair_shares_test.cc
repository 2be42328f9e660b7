#include "coordinator/schedule/fair_shares.h"

#include "coordinator/schedule/quarantine.h"
#include "tests/support/catch.h"

namespace espalier::testing {
namespace {

const absl::Time kStart = absl::UnixEpoch() + absl::Hours(1);

TEST_CASE("FairShares: a job is charged by weight what its tasks took", "[schedule]") {
  FairShares shares;
  shares.SetContenders({"a", "b"});
  const double charged = shares.ChargeLease("a", 2);
  CHECK(shares.Served("a") == Approx(charged / 2));
  shares.SettleLease("a", 2, charged, 30, true);
  CHECK(shares.Served("a") == Approx(15));
  CHECK(shares.TaskSeconds("a") == Approx(30));
  CHECK(shares.ChargeLease("a", 2) == Approx(30));
  shares.SettleLease("a", 2, 30, 4, false);  // cut short: it tells nothing of the next one
  CHECK(shares.Served("a") == Approx(17));
  CHECK(shares.TaskSeconds("a") == Approx(30));
  CHECK(shares.Served("b") == 0);
}

TEST_CASE("FairShares: a newcomer and one that was away start level with the least served", "[schedule]") {
  FairShares shares;
  shares.SetContenders({"a", "b"});
  shares.SettleLease("a", 1, 0, 100, true);
  shares.SettleLease("b", 1, 0, 40, true);
  shares.SetContenders({"a", "b", "new"});
  CHECK(shares.Served("new") == Approx(40));
  shares.SetContenders({"a", "new"});
  shares.SettleLease("new", 1, 0, 50, true);
  shares.SetContenders({"a", "b", "new"});
  CHECK(shares.Served("b") == Approx(90));
  CHECK(shares.Served("a") == Approx(100));
}

TEST_CASE("Quarantine: failures count once another worker has done the task", "[schedule]") {
  Quarantine quarantine(QuarantineOptions{});
  for (const char* task : {"t1", "t2", "t3"}) quarantine.NoteFailed("bad", "job", task, std::string("no ") + task);
  CHECK(quarantine.NoteDone(kStart, "good", "job", "t1", {"bad"}).empty());
  CHECK(quarantine.NoteDone(kStart, "good", "job", "t2", {"bad"}).empty());
  CHECK(quarantine.Reasons("bad").empty());
  CHECK(quarantine.NoteDone(kStart, "good", "job", "t3", {"bad"}) == std::vector<std::string>{"bad"});
  CHECK(quarantine.Until("bad") == kStart + absl::Minutes(10));
  REQUIRE(quarantine.Reasons("bad").size() == 3);
  CHECK_THAT(quarantine.Reasons("bad")[2], Catch::Contains("t3: no t3") && Catch::Contains("worker good did it"));
  CHECK(quarantine.Release(kStart + absl::Minutes(9)).empty());
  CHECK(quarantine.Release(kStart + absl::Minutes(10)) == std::vector<std::string>{"bad"});
  CHECK(quarantine.Until("bad") == absl::InfinitePast());
}

TEST_CASE("Quarantine: the next term is longer, up to a limit", "[schedule]") {
  Quarantine quarantine(QuarantineOptions{});
  absl::Time now = kStart;
  std::vector<absl::Duration> terms;
  for (int round = 0; round < 6; ++round) {
    for (const char* task : {"t1", "t2", "t3"}) {
      quarantine.NoteFailed("bad", "job", task, "broken");
      quarantine.NoteDone(now, "good", "job", task, {"bad"});
    }
    terms.push_back(quarantine.Until("bad") - now);
    now = quarantine.Until("bad");
    CHECK(quarantine.Release(now).size() == 1);
  }
  CHECK(terms[1] == absl::Minutes(20));
  CHECK(terms[5] == absl::Hours(2));
}

TEST_CASE("Quarantine: what fails everywhere, and what a worker does in between, keep it out", "[schedule]") {
  Quarantine quarantine(QuarantineOptions{});
  SECTION("nobody could do them") {
    for (int i = 0; i < 20; ++i) quarantine.NoteFailed("bad", "job", "t" + std::to_string(i), "poison");
    CHECK(quarantine.NoteDone(kStart, "good", "job", "other", {}).empty());
  }
  SECTION("it does as many as it fails") {
    for (int i = 0; i < 20; ++i) {
      const std::string task = "t" + std::to_string(i);
      quarantine.NoteFailed("bad", "job", task, "flaky");
      CHECK(quarantine.NoteDone(kStart, "good", "job", task, {"bad"}).empty());
      quarantine.NoteDone(kStart, "bad", "job", "own" + std::to_string(i), {});
    }
  }
  SECTION("it failed one task many times") {
    for (int i = 0; i < 5; ++i) quarantine.NoteFailed("bad", "job", "t", "again");
    CHECK(quarantine.NoteDone(kStart, "good", "job", "t", {"bad"}).empty());
  }
  CHECK(quarantine.Until("bad") == absl::InfinitePast());
}

}  // namespace
}  // namespace espalier::testing
