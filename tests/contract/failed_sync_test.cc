// A disk that fails to sync, by a switch: this program's own fsync and fdatasync stand before the system's, also for SQLite.
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "coordinator/store/sqlite_job_store.h"
#include "tests/contract/job_store_contract.h"
#include "tests/support/catch.h"
#include "tests/support/temp_dir.h"

namespace {

std::atomic<bool> is_failing = false;
std::atomic<int> num_syncs = 0;

int Sync(long call, int descriptor) {
  ++num_syncs;
  if (!is_failing) return static_cast<int>(::syscall(call, descriptor));
  errno = EIO;
  return -1;
}

}  // namespace

extern "C" int fsync(int descriptor) { return Sync(SYS_fsync, descriptor); }
extern "C" int fdatasync(int descriptor) { return Sync(SYS_fdatasync, descriptor); }

namespace espalier::testing {
namespace {

struct FailingDisk {
  FailingDisk() { is_failing = true; }
  ~FailingDisk() { is_failing = false; }
};

std::unique_ptr<JobStore> MustOpen(const std::string& path) {
  auto store = OpenSqliteJobStore(path);
  REQUIRE_OK(store);
  return *std::move(store);
}

std::set<std::string> JobIds(JobStore& store) {
  const auto jobs = store.LoadJobs();
  REQUIRE_OK(jobs);
  std::set<std::string> ids;
  for (const JobRecord& job : *jobs) ids.insert(job.job_id);
  return ids;
}

}  // namespace

TEST_CASE("SqliteJobStore: every write is synced before it is acknowledged", "[store]") {
  const TempDir folder;
  const auto store = MustOpen(folder / "jobs.sqlite");
  int before = num_syncs;
  for (int i = 0; i < 3; ++i) {
    REQUIRE_OK(store->InsertJob(LargeJob(absl::StrCat("j", i))));
    CHECK(num_syncs > before);
    before = num_syncs;
  }
  EventRecord stop;
  stop.job_id = "j0";
  stop.kind = EventKind::kWallTimeStop;
  REQUIRE_OK(store->Commit(stop, std::nullopt));
  CHECK(num_syncs > before);
}

TEST_CASE("SqliteJobStore: a failed sync acknowledges nothing and ends the store, and what was acknowledged is there", "[store]") {
  const TempDir folder;
  const std::string path = folder / "jobs.sqlite";
  auto store = MustOpen(path);
  std::set<std::string> acknowledged;
  for (int i = 0; i < 20; ++i) {
    REQUIRE_OK(store->InsertJob(LargeJob(absl::StrCat("j", i))));
    acknowledged.insert(absl::StrCat("j", i));
  }
  REQUIRE_OK(store->Health());
  {
    const FailingDisk failing;
    REQUIRE_FALSE(store->InsertJob(LargeJob("unsynced")).ok());
    CHECK_FALSE(store->Health().ok());
  }
  // What the system has of the file is not known any more (it may drop what it could not write), so that no later write
  // may go through, also when the disk is well again.
  CHECK_FALSE(store->InsertJob(LargeJob("after")).ok());
  EventRecord stop;
  stop.job_id = "j0";
  stop.kind = EventKind::kWallTimeStop;
  CHECK_FALSE(store->Commit(stop, std::nullopt).ok());
  CHECK_FALSE(store->Health().ok());

  store = nullptr;
  store = MustOpen(path);
  std::set<std::string> found = JobIds(*store);
  CHECK_FALSE(found.contains("after"));
  found.erase("unsynced");  // it may be there: nobody was told
  CHECK(found == acknowledged);
  CHECK(store->LoadEvents("j0", 0)->empty());
  REQUIRE_OK(store->InsertJob(LargeJob("after")));
}

TEST_CASE("SqliteJobStore: a disk that fails while a database is made or opened is said, and the file stays good", "[store]") {
  const TempDir folder;
  const std::string path = folder / "jobs.sqlite";
  {
    const FailingDisk failing;
    CHECK_FALSE(OpenSqliteJobStore(path).ok());
  }
  REQUIRE_OK(MustOpen(path)->InsertJob(LargeJob("a")));
  {
    const FailingDisk failing;
    CHECK_FALSE(OpenSqliteJobStore(path).ok());
  }
  CHECK(JobIds(*MustOpen(path)) == std::set<std::string>{"a"});
}

}  // namespace espalier::testing
