#include "coordinator/schedule/lease_table.h"

#include "coordinator/schedule/attempt_log.h"
#include "tests/support/catch.h"

namespace espalier::testing {
namespace {

const absl::Time kGranted = absl::UnixEpoch() + absl::Hours(1);

Lease Make(const std::string& task, const std::string& worker, absl::Time expires_at) {
  Lease lease;
  lease.token = {1, "job", task, 1};
  lease.worker_id = worker;
  lease.granted_at = kGranted;
  lease.expires_at = expires_at;
  return lease;
}

TEST_CASE("LeaseTable: leases expire in order, and renewed ones do not", "[schedule]") {
  LeaseTable table;
  table.Grant(Make("a", "w1", kGranted + absl::Seconds(20)));
  table.Grant(Make("b", "w2", kGranted + absl::Seconds(10)));
  table.Grant(Make("c", "w3", kGranted + absl::Seconds(10)));
  table.Renew({1, "job", "c", 1}, kGranted + absl::Seconds(70), {});
  CHECK(table.next_expiry() == kGranted + absl::Seconds(10));
  CHECK(table.Expire(kGranted + absl::Seconds(9)).empty());
  const std::vector<Lease> expired = table.Expire(kGranted + absl::Seconds(30));
  REQUIRE(expired.size() == 2);
  CHECK(expired[0].token.task_id == "b");
  CHECK(expired[1].token.task_id == "a");
  CHECK(table.size() == 1);
}

TEST_CASE("LeaseTable: only the current token finds, renews or removes a lease", "[schedule]") {
  LeaseTable table;
  table.Grant(Make("a", "w1", kGranted));
  for (const LeaseToken& stale : {LeaseToken{2, "job", "a", 1}, LeaseToken{1, "job", "a", 2}}) {
    CHECK(table.Find(stale) == nullptr);
    table.Renew(stale, kGranted + absl::Hours(1), {});
    CHECK_FALSE(table.Remove(stale).has_value());
  }
  CHECK(table.next_expiry() == kGranted);
  CHECK(table.Remove({1, "job", "a", 1}).has_value());
  CHECK(table.next_expiry() == absl::InfiniteFuture());
}

TEST_CASE("AttemptLog: failures and lost workers are counted apart, hand-backs not at all", "[schedule]") {
  AttemptLog log;
  CHECK(log.NextAttempt("t") == 1);
  CHECK(log.NextAttempt("t") == 2);
  log.NoteFailed("t", "w1", "no space");
  log.NoteFailed("t", "w2", "no space either");
  for (int i = 0; i < 5; ++i) log.NoteExpired("t", "w3", "silent");
  CHECK_FALSE(log.GiveUp("t", 3).has_value());
  CHECK(log.FailedWorkers("t") == std::set<std::string>{"w1", "w2"});
  SECTION("one failure more") { log.NoteFailed("t", "w4", "broken"); }
  SECTION("one lost worker more") { log.NoteExpired("t", "w4", "died"); }
  const std::optional<std::string> why = log.GiveUp("t", 3);
  REQUIRE(why.has_value());
  CHECK_THAT(*why, Catch::Contains("w1: no space") && Catch::Contains("w3: silent") && Catch::Contains("w4"));
  log.Forget("t");
  CHECK_FALSE(log.GiveUp("t", 3).has_value());
  CHECK(log.NextAttempt("t") == 3);  // tokens are never used twice
}

}  // namespace
}  // namespace espalier::testing
