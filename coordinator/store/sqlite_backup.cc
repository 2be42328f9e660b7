#include "coordinator/store/sqlite_backup.h"

#include <fcntl.h>
#include <soci/soci.h>
#include <soci/sqlite3/soci-sqlite3.h>
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <random>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/descriptor.h"
#include "common/base/files.h"
#include "common/base/status_macros.h"
#include "coordinator/store/backup_source.h"
#include "coordinator/store/sqlite_job_store.h"

namespace espalier {
namespace {

namespace fs = std::filesystem;

// Removes a half-made file and SQLite's side files of it.
class HalfMade {
 public:
  explicit HalfMade(std::string path) : path_(std::move(path)) {}
  ~HalfMade() {
    for (const char* suffix : {"", "-wal", "-shm", "-journal", ".lock"}) ::unlink((path_ + suffix).c_str());
  }
  HalfMade(const HalfMade&) = delete;
  HalfMade& operator=(const HalfMade&) = delete;
  const std::string& path() const { return path_; }

 private:
  const std::string path_;
};

bool Exists(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

absl::Status CopyFile(const std::string& from, const std::string& to) {
  std::error_code error;
  fs::copy_file(from, to, fs::copy_options::overwrite_existing, error);
  if (error) return absl::PermissionDeniedError(absl::StrCat("cannot copy '", from, "' to '", to, "': ", error.message()));
  fs::permissions(to, fs::perms::owner_read | fs::perms::owner_write, error);
  return absl::OkStatus();
}

absl::Status ReadEverything(JobStore& store) {
  ESPALIER_ASSIGN_OR_RETURN(const std::vector<JobRecord> jobs, store.LoadJobs());
  for (const JobRecord& job : jobs) {
    ESPALIER_RETURN_IF_ERROR(store.LoadAttempts(job.job_id).status());
    ESPALIER_RETURN_IF_ERROR(store.LoadEvents(job.job_id, 0).status());
  }
  return absl::OkStatus();
}

// Epochs after the copy was made belong to leases that may still be out there; a random number far on is none of them.
absl::Status PutEpochFarOn(const std::string& path) {
  std::random_device random;
  const long long jump = (static_cast<long long>(random() & 0xffff) << 24 | (random() & 0xffffff)) + 1000;
  try {
    soci::session session(soci::sqlite3, absl::StrCat("db=\"", path, "\" timeout=2"));
    session << "PRAGMA synchronous = FULL";
    session << "UPDATE meta SET number = number + :jump WHERE name = 'epoch'", soci::use(jump, "jump");
    session << "PRAGMA wal_checkpoint(TRUNCATE)";
    return absl::OkStatus();
  } catch (const soci::soci_error& error) {
    return absl::DataLossError(absl::StrCat("raising the epoch in '", path, "': ", error.get_error_message()));
  }
}

absl::Status SyncFile(const std::string& path) {
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.is_open()) return ErrnoStatus("cannot open", path);
  return ::fsync(file.get()) == 0 ? absl::OkStatus() : ErrnoStatus("cannot sync", path);
}

}  // namespace

absl::Status BackUpSqliteFile(const std::string& database, const std::string& output) {
  if (!Exists(database)) return absl::NotFoundError(absl::StrCat("there is no database '", database, "'"));
  ESPALIER_ASSIGN_OR_RETURN(const std::unique_ptr<JobStore> store, OpenSqliteJobStore(database));
  ESPALIER_RETURN_IF_ERROR(ReadEverything(*store));
  return dynamic_cast<BackupSource&>(*store).Backup(output);
}

absl::Status RestoreSqliteFile(const std::string& copy, const std::string& database) {
  if (!Exists(copy)) return absl::NotFoundError(absl::StrCat("there is no file '", copy, "'"));
  if (Exists(database) || Exists(database + "-wal")) {
    return absl::AlreadyExistsError(absl::StrCat("'", database, "' exists; move it away first (with its -wal file)"));
  }
  const HalfMade half(database + ".restoring");
  ESPALIER_RETURN_IF_ERROR(CopyFile(copy, half.path()));
  {
    ESPALIER_ASSIGN_OR_RETURN(const std::unique_ptr<JobStore> store, OpenSqliteJobStore(half.path()));
    ESPALIER_RETURN_IF_ERROR(ReadEverything(*store));
  }
  ESPALIER_RETURN_IF_ERROR(PutEpochFarOn(half.path()));
  ESPALIER_RETURN_IF_ERROR(SyncFile(half.path()));
  if (::rename(half.path().c_str(), database.c_str()) != 0) return ErrnoStatus("cannot make", database);
  return SyncFile(fs::path(database).parent_path().string());
}

}  // namespace espalier
