// The attempts of SociJobStore.
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "coordinator/store/row_checksum.h"
#include "coordinator/store/soci_job_store.h"

namespace espalier {

absl::Status SociJobStore::InsertAttempt(const AttemptRecord& attempt) {
  ESPALIER_ASSIGN_OR_RETURN(const std::optional<AttemptRecord> earlier, ReadAttempt(attempt.token));
  if (earlier.has_value()) return absl::AlreadyExistsError(absl::StrCat(ToText(attempt.token), " was granted before"));
  AttemptRecord stored = attempt;
  stored.worker_id = CleanText(attempt.worker_id);
  stored.reason = CleanText(attempt.reason);
  const long long position = Take("sequence");
  const long long epoch = stored.token.epoch;
  const int ended = static_cast<int>(stored.end);
  const std::string checksum = AttemptChecksum(stored);
  statements_.Run(
      "INSERT INTO attempts (job_id, task_id, attempt, position, epoch, worker_id, input_digest, ended, reason,"
      " checksum) VALUES (:job, :task, :attempt, :position, :epoch, :worker, :digest, :ended, :reason, :checksum)",
      soci::use(stored.token.job_id, "job"), soci::use(stored.token.task_id, "task"),
      soci::use(stored.token.attempt, "attempt"), soci::use(position, "position"), soci::use(epoch, "epoch"),
      soci::use(stored.worker_id, "worker"), soci::use(stored.input_digest, "digest"), soci::use(ended, "ended"),
      soci::use(stored.reason, "reason"), soci::use(checksum, "checksum"));
  return absl::OkStatus();
}

absl::Status SociJobStore::InsertAttempts(const std::vector<AttemptRecord>& attempts) {
  return InTransaction("storing leases", [&]() -> absl::Status {
    for (const AttemptRecord& attempt : attempts) ESPALIER_RETURN_IF_ERROR(InsertAttempt(attempt));
    return absl::OkStatus();
  });
}

absl::StatusOr<std::optional<AttemptRecord>> SociJobStore::ReadAttempt(const LeaseToken& token) {
  AttemptRecord attempt;
  attempt.token = token;
  long long epoch = 0;
  int ended = 0;
  std::string checksum;
  const bool is_there = statements_.Run(
      "SELECT epoch, worker_id, input_digest, ended, reason, checksum FROM attempts WHERE job_id = :job AND"
      " task_id = :task AND attempt = :attempt",
      soci::use(token.job_id, "job"), soci::use(token.task_id, "task"), soci::use(token.attempt, "attempt"),
      soci::into(epoch), soci::into(attempt.worker_id), soci::into(attempt.input_digest), soci::into(ended),
      soci::into(attempt.reason), soci::into(checksum));
  if (!is_there) return std::optional<AttemptRecord>();
  attempt.token.epoch = epoch;
  attempt.end = static_cast<AttemptEnd>(ended);
  if (checksum != AttemptChecksum(attempt)) {
    return absl::DataLossError(absl::StrCat("the stored lease ", ToText(attempt.token), " is damaged (checksum)"));
  }
  return std::optional<AttemptRecord>(std::move(attempt));
}

void SociJobStore::WriteAttemptEnd(const AttemptRecord& attempt) {
  const int ended = static_cast<int>(attempt.end);
  const std::string checksum = AttemptChecksum(attempt);
  statements_.Run(
      "UPDATE attempts SET ended = :ended, reason = :reason, checksum = :checksum WHERE job_id = :job AND"
      " task_id = :task AND attempt = :attempt",
      soci::use(ended, "ended"), soci::use(attempt.reason, "reason"), soci::use(checksum, "checksum"),
      soci::use(attempt.token.job_id, "job"), soci::use(attempt.token.task_id, "task"),
      soci::use(attempt.token.attempt, "attempt"));
}

absl::Status SociJobStore::EndAttempt(const LeaseToken& token, AttemptEnd end, const std::string& reason) {
  return InTransaction("ending a lease", [&]() -> absl::Status {
    ESPALIER_ASSIGN_OR_RETURN(std::optional<AttemptRecord> attempt, ReadAttempt(token));
    if (!attempt.has_value() || attempt->token.epoch != token.epoch) {
      return absl::NotFoundError(absl::StrCat(ToText(token), " was never granted"));
    }
    if (attempt->end != AttemptEnd::kOpen) return absl::OkStatus();
    attempt->end = end;
    attempt->reason = CleanText(reason);
    WriteAttemptEnd(*attempt);
    return absl::OkStatus();
  });
}

absl::StatusOr<std::vector<AttemptRecord>> SociJobStore::LoadAttempts(const std::string& job_id) {
  std::vector<AttemptRecord> attempts;
  const absl::Status status = Reading("loading leases", [&]() -> absl::Status {
    attempts.clear();
    const soci::rowset<soci::row> rows =
        (session_->prepare << "SELECT task_id, attempt, epoch, worker_id, input_digest, ended, reason, checksum"
                              " FROM attempts WHERE job_id = :job ORDER BY position",
         soci::use(job_id, "job"));
    for (const soci::row& row : rows) {
      AttemptRecord& attempt = attempts.emplace_back();
      attempt.token = {row.get<long long>(2), job_id, row.get<std::string>(0), row.get<int>(1)};
      attempt.worker_id = row.get<std::string>(3);
      attempt.input_digest = row.get<std::string>(4);
      attempt.end = static_cast<AttemptEnd>(row.get<int>(5));
      attempt.reason = row.get<std::string>(6);
      if (row.get<std::string>(7) != AttemptChecksum(attempt)) {
        return absl::DataLossError(absl::StrCat("the stored lease ", ToText(attempt.token), " is damaged (checksum)"));
      }
    }
    return absl::OkStatus();
  });
  if (!status.ok()) return status;
  return attempts;
}

}  // namespace espalier
