#include "coordinator/store/leader_row.h"

#include <chrono>
#include <string>
#include <thread>

#include "coordinator/store/postgres_job_store.h"
#include "tests/support/catch.h"
#include "tests/support/postgres_server.h"

namespace espalier::testing {
namespace {

constexpr absl::Duration kLong = absl::Minutes(5);

std::unique_ptr<LeaderRow> MustOpen(const std::string& connection, const std::string& holder) {
  auto row = OpenPostgresLeaderRow(connection, holder, "address of " + holder);
  REQUIRE_OK(row);
  return *std::move(row);
}

LeaderView MustTry(LeaderRow& row, absl::Duration term) {
  const auto view = row.TryLead(term);
  REQUIRE_OK(view);
  return *view;
}

}  // namespace

TEST_CASE("PostgresLeaderRow: one leads, the others hear who, until its term is over", "[store]") {
  ESPALIER_NEEDS_POSTGRES();
  PostgresServer& server = PostgresServer::Shared();
  const std::string connection = server.NewDatabase();
  const auto a = MustOpen(connection, "a");
  const auto b = MustOpen(connection, "b");
  const LeaderView first = MustTry(*a, kLong);
  REQUIRE(first.epoch.has_value());
  const LeaderView other = MustTry(*b, kLong);
  CHECK_FALSE(other.epoch.has_value());
  CHECK(other.address == "address of a");
  REQUIRE_OK(a->Renew(*first.epoch, kLong));
  CHECK(b->Renew(*first.epoch, kLong).code() == absl::StatusCode::kAborted);
  const auto store = OpenPostgresJobStore(connection, first.epoch);
  REQUIRE_OK(store);
  JobRecord job;
  job.job_id = "a";
  REQUIRE_OK((*store)->InsertJob(job));

  SECTION("who resigns is followed at once, under a newer epoch that fences its writes") {
    REQUIRE_OK(a->Resign(*first.epoch));
    const LeaderView second = MustTry(*b, kLong);
    REQUIRE(second.epoch.has_value());
    CHECK(*second.epoch > *first.epoch);
    CHECK(a->Renew(*first.epoch, kLong).code() == absl::StatusCode::kAborted);
    job.job_id = "b";
    CHECK((*store)->InsertJob(job).code() == absl::StatusCode::kAborted);
    // Its late resignation does not touch the new leader.
    REQUIRE_OK(a->Resign(*first.epoch));
    CHECK(MustTry(*a, kLong).address == "address of b");
  }
  SECTION("who does not renew is followed after its term, by the database's clock") {
    REQUIRE_OK(a->Renew(*first.epoch, absl::Milliseconds(-1)));
    REQUIRE(MustTry(*b, kLong).epoch.has_value());
  }
  SECTION("who was stopped in the midst of a transaction holds nobody up for long") {
    // A session that has read the epoch as every write does, and then is silent.
    std::thread stopped([&] {
      server.Execute(connection.substr(connection.rfind('=') + 1),
                     "SET idle_in_transaction_session_timeout = 4000; BEGIN; SELECT number FROM meta WHERE name = "
                     "'epoch' FOR SHARE; SELECT pg_sleep(2); COMMIT");
    });
    std::this_thread::sleep_for(std::chrono::milliseconds(500));
    REQUIRE_OK(a->Renew(*first.epoch, absl::Milliseconds(-1)));
    CHECK(MustTry(*b, kLong).epoch.has_value());  // waited for the end of that transaction
    stopped.join();
  }
  SECTION("a lost connection is made anew") {
    REQUIRE(server.Execute("postgres", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = "
                                       "'espalier-coordinator'") == 0);
    absl::Status status = a->Renew(*first.epoch, kLong);
    if (absl::IsUnavailable(status)) status = a->Renew(*first.epoch, kLong);
    REQUIRE_OK(status);
  }
}

}  // namespace espalier::testing
