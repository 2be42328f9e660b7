// Databases of earlier schema versions, as their coordinators left them (data/schema_N.sql), become those of today.
#include <sqlite3.h>

#include <fstream>
#include <map>
#include <memory>
#include <sstream>
#include <string>

#include "coordinator/store/postgres_job_store.h"
#include "coordinator/store/schema.h"
#include "coordinator/store/sqlite_job_store.h"
#include "tests/support/catch.h"
#include "tests/support/postgres_server.h"

namespace espalier::testing {
namespace {

std::string OldDump(int version) { return SourcePath("tests/contract/data/schema_" + std::to_string(version) + ".sql"); }

int Execute(const std::string& path, const std::string& statement) {
  sqlite3* database = nullptr;
  REQUIRE(sqlite3_open(path.c_str(), &database) == SQLITE_OK);
  const int code = sqlite3_exec(database, statement.c_str(), nullptr, nullptr, nullptr);
  sqlite3_close(database);
  return code;
}

void LoadOldDump(const std::string& path, int version) {
  std::stringstream text;
  text << std::ifstream(OldDump(version)).rdbuf();
  REQUIRE_FALSE(text.str().empty());
  REQUIRE(Execute(path, text.str()) == SQLITE_OK);
}

// In PostgreSQL's words.
std::unique_ptr<JobStore> OpenInPostgres(PostgresServer& server, int version) {
  const std::string connection = server.NewDatabase();
  const TempDir folder;
  std::ifstream dump(OldDump(version));
  std::ofstream plain(folder / "plain.sql");
  for (std::string line; std::getline(dump, line);) {
    if (!line.starts_with("PRAGMA")) plain << line << "\n";
  }
  plain.close();
  REQUIRE(server.ExecuteFile(connection.substr(connection.rfind('=') + 1), folder / "plain.sql") == 0);
  auto store = OpenPostgresJobStore(connection, std::nullopt);
  REQUIRE_OK(store);
  return *std::move(store);
}

// Version 2 lacks the requests of jobs that were deleted, nothing else.
void CheckContentOf2(JobStore& store) {
  CHECK(store.epoch() == 2);  // the old coordinator's was 1
  CHECK(store.Identity().value() == "store-1eebe00cfc035c2f");
  const auto jobs = store.LoadJobs();
  REQUIRE_OK(jobs);
  REQUIRE(jobs->size() == 2);
  CHECK((*jobs)[0].job_id == "first");
  CHECK((*jobs)[0].state == JobState::kSucceeded);
  CHECK((*jobs)[1].job_id == "second");
  CHECK((*jobs)[1].state == JobState::kRunning);
  const auto first = store.LoadAttempts("first");
  const auto second = store.LoadAttempts("second");
  REQUIRE_OK(first);
  REQUIRE_OK(second);
  CHECK(first->size() == 50);
  for (const AttemptRecord& attempt : *first) CHECK(attempt.end == AttemptEnd::kCommitted);
  REQUIRE(second->size() == 14);
  const AttemptRecord open = second->back();
  CHECK(open.end == AttemptEnd::kOpen);
  CHECK(store.LoadEvents("first", 0)->size() == 50);
  CHECK(store.LoadEvents("second", 0)->size() == 21);  // 8 layers were taken over from the bank

  // It goes on: the lease that was open ends with its outcome, and a deleted job's request is remembered.
  EventRecord event;
  event.job_id = "second";
  event.task_id = open.token.task_id;
  event.attempt = open.token.attempt;
  event.input_digest = open.input_digest;
  REQUIRE_OK(store.Commit(event, std::nullopt));
  CHECK(store.LoadAttempts("second")->back().end == AttemptEnd::kCommitted);
  CHECK(store.LoadDeletedRequests().value().empty());
  REQUIRE_OK(store.DeleteJob("first"));
  const std::map<std::string, std::string> deleted = {{(*jobs)[0].request_id, "first"}};
  CHECK(store.LoadDeletedRequests().value() == deleted);
}

void CheckContent(JobStore& store) {
  CHECK(store.epoch() == 2);  // the old coordinator's was 1
  const auto jobs = store.LoadJobs();
  REQUIRE_OK(jobs);
  REQUIRE(jobs->size() == 2);
  CHECK((*jobs)[0].job_id == "first");
  CHECK((*jobs)[0].state == JobState::kSucceeded);
  CHECK((*jobs)[0].result_artifact.size() == 64);
  CHECK((*jobs)[1].job_id == "second");
  CHECK((*jobs)[1].state == JobState::kRunning);
  for (const JobRecord& job : *jobs) CHECK(job.spec.size() == 672 / 4 * 3);

  const auto first = store.LoadAttempts("first");
  const auto second = store.LoadAttempts("second");
  REQUIRE_OK(first);
  REQUIRE_OK(second);
  CHECK(first->size() + second->size() == 71);
  for (const AttemptRecord& attempt : *first) CHECK(attempt.end == AttemptEnd::kCommitted);
  const auto first_events = store.LoadEvents("first", 0);
  const auto second_events = store.LoadEvents("second", 0);
  REQUIRE_OK(first_events);
  REQUIRE_OK(second_events);
  CHECK(first_events->size() + second_events->size() == 79);

  CHECK(store.LoadDeletedRequests().value().empty());

  // And it goes on from there.
  AttemptRecord next;
  next.token = {store.epoch(), "second", "task/new", 1};
  next.worker_id = "worker";
  next.input_digest = "digest";
  REQUIRE_OK(store.InsertAttempts({next}));
  EventRecord event;
  event.job_id = "second";
  event.task_id = "task/new";
  event.attempt = 1;
  event.input_digest = "digest";
  const auto sequence = store.Commit(event, std::nullopt);
  REQUIRE_OK(sequence);
  CHECK(*sequence > first_events->back().sequence);
}

}  // namespace

TEST_CASE("Migration: an SQLite file of version 1 is migrated with all that is in it", "[store]") {
  const TempDir folder;
  const std::string path = folder / "jobs.sqlite";
  LoadOldDump(path, 1);
  {
    auto store = OpenSqliteJobStore(path);
    REQUIRE_OK(store);
    CheckContent(**store);
  }
  // Attempts have a checksum now.
  REQUIRE(Execute(path, "UPDATE attempts SET worker_id = 'another' WHERE job_id = 'first'") == SQLITE_OK);
  auto store = OpenSqliteJobStore(path);
  REQUIRE_OK(store);
  CHECK((*store)->LoadAttempts("first").status().code() == absl::StatusCode::kDataLoss);
}

TEST_CASE("Migration: an SQLite file of version 2 is migrated with all that is in it", "[store]") {
  const TempDir folder;
  LoadOldDump(folder / "jobs.sqlite", 2);
  {
    auto store = OpenSqliteJobStore(folder / "jobs.sqlite");
    REQUIRE_OK(store);
    CheckContentOf2(**store);
  }
  auto store = OpenSqliteJobStore(folder / "jobs.sqlite");  // once more: there is nothing left to do
  REQUIRE_OK(store);
  CHECK((*store)->LoadDeletedRequests()->size() == 1);
}

// ARCHITECTURE.md: with each new version a dump of the one before.
TEST_CASE("Migration: there is a dump of every earlier version, and it is of that version", "[store]") {
  for (int version = 1; version < kSchemaVersion; ++version) {
    const TempDir folder;
    LoadOldDump(folder / "jobs.sqlite", version);
    INFO("version " << version);
    // A row that is not this version breaks the check.
    CHECK(Execute(folder / "jobs.sqlite", "CREATE TABLE asked (n INTEGER CHECK (n = " + std::to_string(version) +
                                              ")); INSERT INTO asked SELECT number FROM meta WHERE name = 'schema_version'") ==
          SQLITE_OK);
  }
}

TEST_CASE("Migration: one that fails changes nothing", "[store]") {
  const TempDir folder;
  const std::string path = folder / "jobs.sqlite";
  LoadOldDump(path, 1);
  REQUIRE(Execute(path, "CREATE TABLE leadership (in_the_way TEXT)") == SQLITE_OK);  // the last table that is made
  REQUIRE_FALSE(OpenSqliteJobStore(path).ok());
  CHECK(Execute(path, "SELECT checksum FROM attempts") != SQLITE_OK);
  REQUIRE(Execute(path, "DROP TABLE leadership") == SQLITE_OK);
  auto store = OpenSqliteJobStore(path);
  REQUIRE_OK(store);
  CheckContent(**store);
}

TEST_CASE("Migration: the same rows in PostgreSQL", "[store]") {
  ESPALIER_NEEDS_POSTGRES();
  CheckContent(*OpenInPostgres(PostgresServer::Shared(), 1));
  CheckContentOf2(*OpenInPostgres(PostgresServer::Shared(), 2));
}

}  // namespace espalier::testing
