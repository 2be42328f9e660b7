#include "coordinator/store/sqlite_job_store.h"

#include <sqlite3.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "tests/contract/job_store_contract.h"
#include "tests/support/catch.h"
#include "tests/support/temp_dir.h"

namespace espalier::testing {
namespace {

std::unique_ptr<JobStore> MustOpenSqlite(const std::string& path) {
  auto store = OpenSqliteJobStore(path);
  REQUIRE_OK(store);
  return *std::move(store);
}

void ExecuteSqlite(const std::string& path, const std::string& statement) {
  sqlite3* database = nullptr;
  REQUIRE(sqlite3_open(path.c_str(), &database) == SQLITE_OK);
  CHECK(sqlite3_exec(database, statement.c_str(), nullptr, nullptr, nullptr) == SQLITE_OK);
  sqlite3_close(database);
}

// Bytes of the file's middle are overwritten.
void Damage(const std::string& path, const std::string& mark, const std::string& with) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  std::string content((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  const size_t at = content.find(mark);
  REQUIRE(at != std::string::npos);
  file.clear();
  file.seekp(static_cast<std::streamoff>(at));
  file << with;
}

}  // namespace

TEST_CASE("SqliteJobStore: keeps the contract", "[store]") {
  const TempDir folder;
  RunJobStoreContract([&] { return MustOpenSqlite(folder / "jobs.sqlite"); });
}

TEST_CASE("SqliteJobStore: only its owner can read the file", "[store]") {
  const TempDir folder;
  const auto store = MustOpenSqlite(folder / "jobs.sqlite");
  struct stat info;
  REQUIRE(::stat((folder / "jobs.sqlite").c_str(), &info) == 0);
  CHECK((info.st_mode & 0777) == 0600);
}

TEST_CASE("SqliteJobStore: a second coordinator on the same file is refused", "[store]") {
  const TempDir folder;
  auto store = MustOpenSqlite(folder / "jobs.sqlite");
  const auto second = OpenSqliteJobStore(folder / "jobs.sqlite");
  CHECK(second.status().code() == absl::StatusCode::kFailedPrecondition);
  CHECK_THAT(std::string(second.status().message()), Catch::Contains("another coordinator"));
  store = nullptr;
  MustOpenSqlite(folder / "jobs.sqlite");
}

TEST_CASE("SqliteJobStore: a file that is not ours is refused with what it is", "[store]") {
  const TempDir folder;
  const std::string path = folder / "jobs.sqlite";
  SECTION("no database") {
    std::ofstream(path) << std::string(8192, 'x');
    const auto store = OpenSqliteJobStore(path);
    CHECK(store.status().code() == absl::StatusCode::kInvalidArgument);
    CHECK_THAT(std::string(store.status().message()), Catch::Contains("not a database"));
  }
  SECTION("another program's database") {
    ExecuteSqlite(path, "CREATE TABLE cookies (name TEXT)");
    const auto store = OpenSqliteJobStore(path);
    CHECK(store.status().code() == absl::StatusCode::kInvalidArgument);
    CHECK_THAT(std::string(store.status().message()), Catch::Contains("another program"));
  }
  SECTION("a newer version's") {
    MustOpenSqlite(path);
    ExecuteSqlite(path, "UPDATE meta SET number = 99 WHERE name = 'schema_version'");
    const auto store = OpenSqliteJobStore(path);
    CHECK(store.status().code() == absl::StatusCode::kFailedPrecondition);
    CHECK_THAT(std::string(store.status().message()), Catch::Contains("99"));
  }
}

TEST_CASE("SqliteJobStore: damage is found and named, never skipped", "[store]") {
  const TempDir folder;
  const std::string path = folder / "jobs.sqlite";
  REQUIRE_OK(MustOpenSqlite(path)->InsertJob(LargeJob("job-with-a-name")));
  SECTION("a changed row") {
    ExecuteSqlite(path, "UPDATE jobs SET state = 3");
    CHECK(MustOpenSqlite(path)->LoadJobs().status().code() == absl::StatusCode::kDataLoss);
  }
  SECTION("a flipped byte in a payload") {
    Damage(path, "c3Nzc3Nz", "c3Nzc3N6");  // base64 of the specification
    CHECK(MustOpenSqlite(path)->LoadJobs().status().code() == absl::StatusCode::kDataLoss);
  }
  SECTION("a lease that was changed") {
    {
      const auto store = MustOpenSqlite(path);
      AttemptRecord attempt;
      attempt.token = {store->epoch(), "job-with-a-name", "task/1", 1};
      REQUIRE_OK(store->InsertAttempts({attempt}));
    }
    ExecuteSqlite(path, "UPDATE attempts SET ended = 1");
    CHECK(MustOpenSqlite(path)->LoadAttempts("job-with-a-name").status().code() == absl::StatusCode::kDataLoss);
  }
  SECTION("the file was cut off") {
    std::filesystem::resize_file(path, 3 * 4096);
    CHECK(OpenSqliteJobStore(path).status().code() == absl::StatusCode::kDataLoss);
  }
  SECTION("a page of rubbish") {
    {
      const auto store = MustOpenSqlite(path);
      for (int i = 0; i < 50; ++i) REQUIRE_OK(store->InsertJob(LargeJob(absl::StrCat("j", i))));
    }
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(3 * 4096);
    file << std::string(8192, '\xaa');
    file.close();
    const auto store = OpenSqliteJobStore(path);
    CHECK(store.status().code() == absl::StatusCode::kDataLoss);
  }
}

TEST_CASE("SqliteJobStore: on a full disk writes are refused, nothing acknowledged is lost, and it recovers", "[store]") {
  const TempDir folder;
  const std::string disk = folder.path();
  if (::geteuid() != 0 || ::mount("tmpfs", disk.c_str(), "tmpfs", 0, "size=2m") != 0) {
    WARN("SKIPPED: no right to mount a small tmpfs here");
    return;
  }
  struct Unmount {
    std::string path;
    ~Unmount() { ::umount2(path.c_str(), MNT_DETACH); }
  } const unmount{disk};
  auto store = MustOpenSqlite(disk + "/jobs.sqlite");
  std::ofstream ballast(disk + "/ballast");
  ballast << std::string(1 << 20, 'b') << std::flush;
  int num_stored = 0;
  absl::Status status;
  for (; num_stored < 1000 && status.ok(); ++num_stored) status = store->InsertJob(LargeJob(absl::StrCat("j", num_stored)));
  --num_stored;
  REQUIRE(status.code() == absl::StatusCode::kResourceExhausted);
  CHECK(num_stored > 0);
  CHECK(store->LoadJobs()->size() == static_cast<size_t>(num_stored));
  ballast.close();
  REQUIRE(::unlink((disk + "/ballast").c_str()) == 0);
  REQUIRE_OK(store->InsertJob(LargeJob("after")));
  store = nullptr;
  CHECK(MustOpenSqlite(disk + "/jobs.sqlite")->LoadJobs()->size() == static_cast<size_t>(num_stored) + 1);
}

}  // namespace espalier::testing
