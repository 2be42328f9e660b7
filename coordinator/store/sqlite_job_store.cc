#include "coordinator/store/sqlite_job_store.h"

#include <fcntl.h>
#include <soci/sqlite3/soci-sqlite3.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/descriptor.h"
#include "common/base/files.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "coordinator/store/backup_source.h"
#include "coordinator/store/schema.h"
#include "coordinator/store/soci_job_store.h"

namespace espalier {
namespace {

// Held while the store is open; the system drops it with the process, however it ends.
// Held as long as the descriptor is open.
absl::StatusOr<Descriptor> TakeLock(const std::string& path) {
  Descriptor lock(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!lock.is_open()) return ErrnoStatus("cannot open the lock file", path);
  if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    return absl::FailedPreconditionError(absl::StrCat("another coordinator uses this state: '", path, "' is locked"));
  }
  return lock;
}

class SqliteJobStore final : public SociJobStore, public BackupSource {
 public:
  SqliteJobStore(Descriptor lock, std::unique_ptr<soci::session> session, SqlDialect dialect,
                 int64_t epoch)
      : SociJobStore(std::move(session), std::move(dialect), epoch), lock_(std::move(lock)) {}

  // By the one connection: what is committed is in it and nothing else.
  absl::Status Backup(const std::string& path) override {
    Descriptor file(::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    if (!file.is_open() && errno == EEXIST) return absl::AlreadyExistsError(absl::StrCat("'", path, "' exists"));
    if (!file.is_open()) return ErrnoStatus("cannot make", path);
    absl::Status status;
    const std::lock_guard lock(use());
    try {
      session() << "VACUUM INTO :path", soci::use(path, "path");
    } catch (const soci::soci_error& error) {
      status = dialect().translate(error, "copying the database");
    }
    if (status.ok() && ::fsync(file.get()) != 0) status = ErrnoStatus("cannot sync", path);
    if (!status.ok()) ::unlink(path.c_str());
    return status;
  }

 private:
  Descriptor lock_;
};

absl::Status Translate(const soci::soci_error& error, const std::string& what, const std::string& path) {
  const std::string message = absl::StrCat(what, " in '", path, "': ", error.get_error_message());
  const auto* sqlite = dynamic_cast<const soci::sqlite3_soci_error*>(&error);
  const int code = sqlite == nullptr ? 0 : sqlite->result() & 0xff;
  const auto says = [&](const char* text) { return absl::StrContains(message, text); };
  if (code == SQLITE_FULL || says("disk is full")) return absl::ResourceExhaustedError(message);
  if (code == SQLITE_NOTADB || says("not a database")) {
    return absl::InvalidArgumentError(absl::StrCat(message, "; name another --state folder"));
  }
  if (code == SQLITE_CORRUPT || says("malformed")) {
    return absl::DataLossError(absl::StrCat(message, "; restore a copy or name another --state folder"));
  }
  if (code == SQLITE_BUSY || code == SQLITE_LOCKED || says("database is locked")) {
    return absl::FailedPreconditionError(absl::StrCat(message, "; another program has the database open"));
  }
  if (code == SQLITE_READONLY || code == SQLITE_CANTOPEN || says("readonly") || says("unable to open")) {
    return absl::PermissionDeniedError(message);
  }
  if (code == SQLITE_CONSTRAINT) return absl::AlreadyExistsError(message);
  return absl::InternalError(message);
}

int ReadNumber(soci::session& session, const std::string& query) {
  int number = 0;
  session << query, soci::into(number);
  return number;
}

absl::Status CheckIsOurs(soci::session& session, const std::string& path) {
  std::string verdict;
  session << "PRAGMA quick_check(1)", soci::into(verdict);
  if (verdict != "ok") {
    return absl::DataLossError(
        absl::StrCat("'", path, "' is damaged: ", verdict, "; restore a copy or name another --state folder"));
  }
  const int num_tables = ReadNumber(session, "SELECT COUNT(*) FROM sqlite_master");
  const int application = ReadNumber(session, "PRAGMA application_id");
  if (num_tables > 0 && application != kApplicationId) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", path, "' is a database of another program; name another --state folder"));
  }
  return absl::OkStatus();
}

absl::Status MakeOrMigrate(soci::session& session, const std::string& path) {
  soci::transaction transaction(session);
  if (ReadNumber(session, "SELECT COUNT(*) FROM sqlite_master") == 0) {
    MakeSchema(session);
    session << absl::StrCat("PRAGMA application_id = ", kApplicationId);
  } else {
    ESPALIER_RETURN_IF_ERROR(MigrateSchema(session, absl::StrCat("'", path, "'")));
  }
  transaction.commit();
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<JobStore>> OpenSqliteJobStore(const std::string& path) {
  ESPALIER_ASSIGN_OR_RETURN(Descriptor lock, TakeLock(path + ".lock"));
  SqlDialect dialect;
  dialect.translate = [path](const soci::soci_error& error, const std::string& what) {
    return Translate(error, what, path);
  };
  // Made here so that nobody else can read it (job specifications name people's files); SQLite's side files follow it.
  Descriptor file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!file.is_open()) return ErrnoStatus("cannot open the database", path);
  file.Close();  // SQLite's locks of the file would go with a later close
  try {
    auto session = std::make_unique<soci::session>(soci::sqlite3, absl::StrCat("db=\"", path, "\" timeout=2"));
    *session << "PRAGMA locking_mode = EXCLUSIVE";  // before the first access: then WAL needs no shared memory
    ESPALIER_RETURN_IF_ERROR(CheckIsOurs(*session, path));
    *session << "PRAGMA journal_mode = WAL";
    *session << "PRAGMA synchronous = FULL";
    *session << "PRAGMA foreign_keys = ON";
    *session << "PRAGMA trusted_schema = OFF";
    ESPALIER_RETURN_IF_ERROR(MakeOrMigrate(*session, path));
    int64_t epoch = 0;
    ESPALIER_RETURN_IF_ERROR(SociJobStore::RaiseEpoch(*session, dialect, &epoch));
    return std::make_unique<SqliteJobStore>(std::move(lock), std::move(session), dialect, epoch);
  } catch (const soci::soci_error& error) {
    return dialect.translate(error, "opening the database");
  }
}

}  // namespace espalier
