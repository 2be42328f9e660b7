#include "coordinator/store/postgres_job_store.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/contract/job_store_contract.h"
#include "tests/support/catch.h"
#include "tests/support/postgres_server.h"

namespace espalier::testing {
namespace {

std::unique_ptr<JobStore> MustOpenPostgres(const std::string& connection) {
  auto store = OpenPostgresJobStore(connection, std::nullopt);
  REQUIRE_OK(store);
  return *std::move(store);
}

// The database's name in a connection string of the server's making.
std::string NameOf(const std::string& connection) { return connection.substr(connection.rfind('=') + 1); }

// Of all other connections to the database.
void CutConnections(const std::string& connection) {
  REQUIRE(PostgresServer::Shared().Execute(
              "postgres", absl::StrCat("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '",
                                       NameOf(connection), "'")) == 0);
}

}  // namespace

TEST_CASE("PostgresJobStore: keeps the contract", "[store]") {
  ESPALIER_NEEDS_POSTGRES();
  const std::string connection = PostgresServer::Shared().NewDatabase();
  RunJobStoreContract([&] { return MustOpenPostgres(connection); });
}

TEST_CASE("PostgresJobStore: whatever happens to connection or epoch, nothing is written twice or too late", "[store]") {
  ESPALIER_NEEDS_POSTGRES();
  PostgresServer& server = PostgresServer::Shared();
  const std::string connection = server.NewDatabase();
  SECTION("an older store over the same database is fenced, in all that it writes") {
    const auto older = MustOpenPostgres(connection);
    REQUIRE_OK(older->InsertJob(LargeJob("a")));
    AttemptRecord lease;
    lease.token = {older->epoch(), "a", "task", 1};
    lease.worker_id = "worker";
    REQUIRE_OK(older->InsertAttempts({lease}));
    const auto newer = MustOpenPostgres(connection);
    JobUpdate update;
    update.state = JobState::kRunning;
    CHECK(older->InsertJob(LargeJob("b")).code() == absl::StatusCode::kAborted);
    CHECK(older->UpdateJob("a", update).code() == absl::StatusCode::kAborted);
    CHECK(older->DeleteJob("a").code() == absl::StatusCode::kAborted);
    CHECK(older->LoseBankLayers("x").code() == absl::StatusCode::kAborted);
    EventRecord stop;
    stop.job_id = "a";
    stop.kind = EventKind::kWallTimeStop;
    CHECK(older->Commit(stop, std::nullopt).status().code() == absl::StatusCode::kAborted);
    CHECK(older->EndAttempt(lease.token, AttemptEnd::kExpired, "late").code() == absl::StatusCode::kAborted);
    AttemptRecord second = lease;
    second.token.attempt = 2;
    CHECK(older->InsertAttempts({second}).code() == absl::StatusCode::kAborted);
    EventRecord outcome;
    outcome.job_id = "a";
    outcome.task_id = "task";
    outcome.attempt = 1;
    CHECK(older->Commit(outcome, std::nullopt).status().code() == absl::StatusCode::kAborted);
    CHECK(newer->LoadJobs()->size() == 1);
    CHECK(newer->LoadEvents("a", 0)->empty());
    CHECK(newer->LoadAttempts("a").value() == std::vector<AttemptRecord>{lease});  // one, open still
    REQUIRE_OK(newer->Commit(stop, std::nullopt));
  }
  SECTION("a connection that is cut between two writes is made anew") {
    const auto store = MustOpenPostgres(connection);
    REQUIRE_OK(store->InsertJob(LargeJob("a")));
    CutConnections(connection);
    REQUIRE_OK(store->InsertJob(LargeJob("b")));
    CutConnections(connection);
    CHECK(store->LoadJobs()->size() == 2);
    REQUIRE_OK(store->Health());
  }
  SECTION("one that is cut before its commit is through is done again, once") {
    const auto store = MustOpenPostgres(connection);
    // The first insertion's own session is ended while it commits; the second one goes through.
    REQUIRE(server.Execute(NameOf(connection),
                           "CREATE SEQUENCE turns; CREATE FUNCTION cut() RETURNS trigger AS \\$\\$ BEGIN IF "
                           "nextval('turns') = 1 THEN PERFORM pg_terminate_backend(pg_backend_pid()); END IF; RETURN "
                           "NULL; END \\$\\$ LANGUAGE plpgsql; CREATE CONSTRAINT TRIGGER cut AFTER INSERT ON jobs "
                           "DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION cut()") == 0);
    REQUIRE_OK(store->InsertJob(LargeJob("a")));
    REQUIRE(store->LoadJobs()->size() == 1);
    REQUIRE_OK(store->Health());
  }
  SECTION("one that the server takes back as not serializable is done again, once: at its commit, and before") {
    for (const std::string when : {"DEFERRABLE INITIALLY DEFERRED", "NOT DEFERRABLE"}) {
      const std::string fresh = server.NewDatabase();
      const auto store = MustOpenPostgres(fresh);
      REQUIRE(server.Execute(NameOf(fresh),
                             "CREATE SEQUENCE turns; CREATE FUNCTION refuse() RETURNS trigger AS \\$\\$ BEGIN IF "
                             "nextval('turns') = 1 THEN RAISE EXCEPTION 'could not serialize' USING ERRCODE = '40001'; END IF; "
                             "RETURN NULL; END \\$\\$ LANGUAGE plpgsql; CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON jobs " +
                                 when + " FOR EACH ROW EXECUTE FUNCTION refuse()") == 0);
      INFO(when);
      REQUIRE_OK(store->InsertJob(LargeJob("a")));
      CHECK(store->LoadJobs()->size() == 1);
      REQUIRE_OK(store->Health());
      CHECK(server.Execute(NameOf(fresh), "DO \\$\\$ BEGIN ASSERT nextval('turns') = 3; END \\$\\$") == 0);  // it was tried twice
    }
  }
  SECTION("a database that stays away ends the store") {
    const auto store = MustOpenPostgres(connection);
    REQUIRE(server.Execute("postgres", "UPDATE pg_database SET datallowconn = false WHERE datname = '" +
                                           NameOf(connection) + "'") == 0);
    CutConnections(connection);
    CHECK(store->InsertJob(LargeJob("a")).code() == absl::StatusCode::kUnavailable);
    CHECK(store->Health().code() == absl::StatusCode::kUnavailable);
  }
}

TEST_CASE("PostgresJobStore: what is not its database is refused with what it is", "[store]") {
  ESPALIER_NEEDS_POSTGRES();
  PostgresServer& server = PostgresServer::Shared();
  const std::string connection = server.NewDatabase();
  const auto refusal = [&](const std::string& text) {
    const auto store = OpenPostgresJobStore(text, std::nullopt);
    REQUIRE_FALSE(store.ok());
    INFO(store.status().ToString());
    CHECK_THAT(std::string(store.status().message()), !Catch::Contains("secret"));
    return store.status();
  };
  SECTION("another program's tables") {
    REQUIRE(server.Execute(NameOf(connection), "CREATE TABLE cookies (name TEXT)") == 0);
    const absl::Status status = refusal(connection);
    CHECK(status.code() == absl::StatusCode::kInvalidArgument);
    CHECK_THAT(std::string(status.message()), Catch::Contains("another program"));
    REQUIRE(server.Execute(NameOf(connection), "SELECT * FROM meta") != 0);  // and nothing was made in it
  }
  SECTION("a later version's") {
    MustOpenPostgres(connection);
    REQUIRE(server.Execute(NameOf(connection), "UPDATE meta SET number = 99 WHERE name = 'schema_version'") == 0);
    const absl::Status status = refusal(connection);
    CHECK(status.code() == absl::StatusCode::kFailedPrecondition);
    CHECK_THAT(std::string(status.message()), Catch::Contains("schema version 99"));
  }
  SECTION("a changed row") {
    REQUIRE_OK(MustOpenPostgres(connection)->InsertJob(LargeJob("a")));
    REQUIRE(server.Execute(NameOf(connection), "UPDATE jobs SET state = 3") == 0);
    CHECK(MustOpenPostgres(connection)->LoadJobs().status().code() == absl::StatusCode::kDataLoss);
  }
  SECTION("no server, no database, no connection string") {
    CHECK(refusal("host=/nowhere user=a password=secret").code() == absl::StatusCode::kUnavailable);
    CHECK(refusal(server.ConnectionTo("missing")).code() == absl::StatusCode::kPermissionDenied);
    CHECK(refusal("postgresql://secret@[").code() == absl::StatusCode::kInvalidArgument);
  }
}

}  // namespace espalier::testing
