#include "coordinator/store/schema.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "coordinator/store/row_checksum.h"

namespace espalier {
namespace {

constexpr const char* kVersion1[] = {
    "CREATE TABLE meta (name VARCHAR(40) PRIMARY KEY, number BIGINT NOT NULL)",
    "INSERT INTO meta (name, number) VALUES ('schema_version', 1)",
    "INSERT INTO meta (name, number) VALUES ('epoch', 0)",
    "INSERT INTO meta (name, number) VALUES ('sequence', 0)",
    "CREATE TABLE jobs (job_id VARCHAR(80) PRIMARY KEY, position BIGINT NOT NULL, request_id VARCHAR(200),"
    " submitted TEXT NOT NULL, spec TEXT NOT NULL, inputs TEXT NOT NULL,"
    " create_time_ns BIGINT NOT NULL, state INTEGER NOT NULL, failure TEXT NOT NULL,"
    " elapsed_seconds DOUBLE PRECISION NOT NULL, numerics_class TEXT NOT NULL, result_artifact VARCHAR(80) NOT NULL,"
    " checksum VARCHAR(16) NOT NULL)",
    "CREATE UNIQUE INDEX jobs_by_request ON jobs (request_id)",
    "CREATE TABLE attempts (job_id VARCHAR(80) NOT NULL, task_id VARCHAR(300) NOT NULL, attempt INTEGER NOT NULL,"
    " position BIGINT NOT NULL, epoch BIGINT NOT NULL, worker_id VARCHAR(80) NOT NULL, input_digest VARCHAR(80) NOT NULL,"
    " ended INTEGER NOT NULL, reason TEXT NOT NULL, PRIMARY KEY (job_id, task_id, attempt))",
    "CREATE TABLE events (sequence BIGINT PRIMARY KEY, job_id VARCHAR(80) NOT NULL, kind INTEGER NOT NULL,"
    " task_id VARCHAR(300), attempt INTEGER NOT NULL, input_digest VARCHAR(80) NOT NULL, payload TEXT NOT NULL,"
    " reason TEXT NOT NULL, artifact VARCHAR(80) NOT NULL, elapsed_seconds DOUBLE PRECISION NOT NULL,"
    " checksum VARCHAR(16) NOT NULL)",
    "CREATE UNIQUE INDEX events_by_task ON events (job_id, task_id)",
    "CREATE INDEX events_by_job ON events (job_id, sequence)",
    "CREATE TABLE bank_layers (bank_key VARCHAR(80) NOT NULL, layer INTEGER NOT NULL, revision INTEGER NOT NULL,"
    " artifact VARCHAR(80) NOT NULL, outcome TEXT NOT NULL, is_lost INTEGER NOT NULL, checksum VARCHAR(16) NOT NULL,"
    " PRIMARY KEY (bank_key, layer, revision))",
    "CREATE INDEX bank_layers_by_artifact ON bank_layers (artifact)",
};

// Attempts get a checksum as all other rows have; meta says whose database this is and counts the transactions (what
// tells after a connection lost during a commit whether it went through); coordinators that share a database elect one.
constexpr const char* kVersion2[] = {
    "ALTER TABLE attempts ADD COLUMN checksum VARCHAR(16) NOT NULL DEFAULT ''",
    "INSERT INTO meta (name, number) VALUES ('application', 1702064177)",
    "INSERT INTO meta (name, number) VALUES ('writes', 0)",
    ("CREATE TABLE leadership (name VARCHAR(40) PRIMARY KEY, holder VARCHAR(80) NOT NULL, address TEXT NOT NULL,"
     " epoch BIGINT NOT NULL, expires_at DOUBLE PRECISION NOT NULL)"),
    "INSERT INTO leadership (name, holder, address, epoch, expires_at) VALUES ('coordinator', '', '', 0, 0)",
};
// Requests outlive the jobs that they made: a copy of one that arrives late is known.
constexpr const char* kVersion3[] = {
    "CREATE TABLE deleted_requests (request_id VARCHAR(200) PRIMARY KEY, job_id VARCHAR(80) NOT NULL,"
    " checksum VARCHAR(16) NOT NULL)",
};
static_assert(kApplicationId == 1702064177);

template <size_t kCount>
void Execute(soci::session& session, const char* const (&statements)[kCount]) {
  for (const char* statement : statements) session << statement;
}

void AddAttemptChecksums(soci::session& session) {
  std::vector<AttemptRecord> attempts;
  const soci::rowset<soci::row> rows =
      (session.prepare << "SELECT job_id, task_id, attempt, epoch, worker_id, input_digest, ended, reason FROM attempts");
  for (const soci::row& row : rows) {
    AttemptRecord& attempt = attempts.emplace_back();
    attempt.token = {row.get<long long>(3), row.get<std::string>(0), row.get<std::string>(1), row.get<int>(2)};
    attempt.worker_id = row.get<std::string>(4);
    attempt.input_digest = row.get<std::string>(5);
    attempt.end = static_cast<AttemptEnd>(row.get<int>(6));
    attempt.reason = row.get<std::string>(7);
  }
  for (const AttemptRecord& attempt : attempts) {
    const std::string checksum = AttemptChecksum(attempt);
    session << "UPDATE attempts SET checksum = :checksum WHERE job_id = :job AND task_id = :task AND attempt = :attempt",
        soci::use(checksum, "checksum"), soci::use(attempt.token.job_id, "job"),
        soci::use(attempt.token.task_id, "task"), soci::use(attempt.token.attempt, "attempt");
  }
}

void WriteVersion(soci::session& session, int version) {
  session << "UPDATE meta SET number = :version WHERE name = 'schema_version'", soci::use(version, "version");
}

// From `version` to the next one.
void Step(soci::session& session, int version) {
  if (version == 0) Execute(session, kVersion1);
  if (version == 1) {
    Execute(session, kVersion2);
    AddAttemptChecksums(session);
  }
  if (version == 2) Execute(session, kVersion3);
  WriteVersion(session, version + 1);
}

}  // namespace

void MakeSchema(soci::session& session, int version) {
  for (int step = 0; step < version; ++step) Step(session, step);
}

int ReadSchemaVersion(soci::session& session) {
  int version = 0;
  session << "SELECT number FROM meta WHERE name = 'schema_version'", soci::into(version);
  return version;
}

absl::Status MigrateSchema(soci::session& session, const std::string& where) {
  const int version = ReadSchemaVersion(session);
  if (version > kSchemaVersion) {
    return absl::FailedPreconditionError(absl::StrCat(where, " has schema version ", version, ", this coordinator knows ",
                                                      kSchemaVersion, "; use the version that wrote it"));
  }
  if (version < 1) return absl::DataLossError(absl::StrCat(where, " has no schema version; restore a copy"));
  for (int step = version; step < kSchemaVersion; ++step) Step(session, step);
  return absl::OkStatus();
}

}  // namespace espalier
