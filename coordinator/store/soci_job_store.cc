#include "coordinator/store/soci_job_store.h"

#include <random>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "coordinator/store/row_checksum.h"

namespace espalier {
namespace {

bool Exists(soci::session& session, const std::string& query, const std::string& a, const std::string& b) {
  int count = 0;
  session << query, soci::use(a, "a"), soci::use(b, "b"), soci::into(count);
  return count > 0;
}

std::string JobChecksum(const JobRecord& job) {
  return RowChecksum({job.job_id, job.request_id, job.submitted, job.spec, job.inputs, job.failure,
                      job.numerics_class, job.result_artifact, std::to_string(static_cast<int>(job.state))});
}

}  // namespace

int64_t TakeNext(soci::session& session, const std::string& counter) {
  session << "UPDATE meta SET number = number + 1 WHERE name = :name", soci::use(counter, "name");
  long long number = 0;
  session << "SELECT number FROM meta WHERE name = :name", soci::use(counter, "name"), soci::into(number);
  return number;
}

absl::Status SociJobStore::RaiseEpoch(soci::session& session, const SqlDialect& dialect, int64_t* epoch) {
  try {
    soci::transaction transaction(session);
    *epoch = TakeNext(session, "epoch");
    transaction.commit();
    return absl::OkStatus();
  } catch (const soci::soci_error& error) {
    return dialect.translate(error, "raising the epoch");
  }
}

SociJobStore::SociJobStore(std::unique_ptr<soci::session> session, SqlDialect dialect, int64_t epoch)
    : session_(std::move(session)), statements_(*session_), dialect_(std::move(dialect)), epoch_(epoch) {}

int64_t SociJobStore::Take(const std::string& counter) {
  statements_.Run("UPDATE meta SET number = number + 1 WHERE name = :name", soci::use(counter, "name"));
  long long number = 0;
  statements_.Run("SELECT number FROM meta WHERE name = :name", soci::use(counter, "name"), soci::into(number));
  return number;
}

absl::Status SociJobStore::Reconnect() {
  statements_.Clear();
  return dialect_.reconnect(*session_);
}

absl::StatusOr<std::string> SociJobStore::Identity() {
  long long number = 0;
  const absl::Status status = InTransaction("reading the identity", [&]() -> absl::Status {
    *session_ << "SELECT number FROM meta WHERE name = 'identity'", soci::into(number);
    if (session_->got_data()) return absl::OkStatus();
    std::random_device random;
    number = static_cast<long long>((static_cast<uint64_t>(random()) << 31 ^ random()) & INT64_MAX);
    *session_ << "INSERT INTO meta (name, number) VALUES ('identity', :number)", soci::use(number, "number");
    return absl::OkStatus();
  });
  if (!status.ok()) return status;
  return absl::StrCat("store-", absl::Hex(number, absl::kZeroPad16));
}

absl::Status SociJobStore::CheckEpoch() {
  long long newest = 0;
  statements_.Run(dialect_.epoch_query, soci::into(newest));
  if (newest == epoch_) return absl::OkStatus();
  return absl::AbortedError(absl::StrCat("another coordinator has taken over: epoch ", newest, " is newer than ", epoch_));
}

absl::Status SociJobStore::TryTransaction(const char* what, const std::function<absl::Status()>& body,
                                          bool* is_committing) {
  try {
    soci::transaction transaction(*session_);
    ESPALIER_RETURN_IF_ERROR(CheckEpoch());
    ESPALIER_RETURN_IF_ERROR(body());
    if (dialect_.reconnect != nullptr) last_write_ = Take("writes") - 1;
    *is_committing = true;
    transaction.commit();
    return absl::OkStatus();
  } catch (const soci::soci_error& error) {
    return dialect_.translate(error, what);
  }
}

// Whether transaction number `write` of this epoch is in the database. Waits until the server is through with it.
absl::StatusOr<bool> SociJobStore::IsDone(int64_t write) {
  try {
    soci::transaction transaction(*session_);
    ESPALIER_RETURN_IF_ERROR(CheckEpoch());
    long long newest = 0;
    *session_ << "SELECT number FROM meta WHERE name = 'writes' FOR UPDATE", soci::into(newest);
    return newest >= write;
  } catch (const soci::soci_error& error) {
    return dialect_.translate(error, "looking up a transaction");
  }
}

absl::Status SociJobStore::InTransaction(const char* what, const std::function<absl::Status()>& body) {
  const std::lock_guard lock(use_);
  ESPALIER_RETURN_IF_ERROR(health_);
  bool is_committing = false;
  absl::Status status = TryTransaction(what, body, &is_committing);
  if (absl::IsUnavailable(status) && dialect_.reconnect != nullptr) {
    const absl::Status connected = Reconnect();
    if (!connected.ok()) return NoteHealth(connected);
    if (is_committing) {
      const absl::StatusOr<bool> is_done = IsDone(last_write_ + 1);
      if (!is_done.ok()) return NoteHealth(is_done.status());
      if (*is_done) return absl::OkStatus();
    }
    status = TryTransaction(what, body, &is_committing);
  }
  return NoteHealth(status);
}

// A full disk passes; after a failed sync, damage or a database that stays away nothing that this process believes can be
// trusted.
absl::Status SociJobStore::NoteHealth(const absl::Status& status) {
  if (absl::IsDataLoss(status) || absl::IsInternal(status) || absl::IsUnavailable(status)) health_ = status;
  return status;
}

absl::Status SociJobStore::TryReading(const char* what, const std::function<absl::Status()>& body) {
  try {
    return body();
  } catch (const soci::soci_error& error) {
    return dialect_.translate(error, what);
  }
}

absl::Status SociJobStore::Reading(const char* what, const std::function<absl::Status()>& body) {
  const std::lock_guard lock(use_);
  const absl::Status status = TryReading(what, body);
  if (!absl::IsUnavailable(status) || dialect_.reconnect == nullptr) return status;
  ESPALIER_RETURN_IF_ERROR(Reconnect());
  return TryReading(what, body);
}

absl::Status SociJobStore::InsertJob(const JobRecord& job) {
  if (CleanText(job.request_id) != job.request_id) {
    return absl::InvalidArgumentError("request_id: holds a zero or bytes that are no UTF-8");
  }
  return InTransaction("storing a job", [&]() -> absl::Status {
    if (Exists(*session_, "SELECT COUNT(*) FROM jobs WHERE job_id = :a AND job_id = :b", job.job_id, job.job_id)) {
      return absl::AlreadyExistsError(absl::StrCat("job id '", job.job_id, "' is taken"));
    }
    if (!job.request_id.empty() &&
        Exists(*session_, "SELECT COUNT(*) FROM jobs WHERE request_id = :a AND request_id = :b", job.request_id,
               job.request_id)) {
      return absl::AlreadyExistsError(absl::StrCat("request id '", job.request_id, "' was used for another job"));
    }
    WriteJob(job, true);
    return absl::OkStatus();
  });
}

void SociJobStore::WriteJob(const JobRecord& job, bool is_new) {
  const std::string submitted = EncodeBytes(job.submitted);
  const std::string spec = EncodeBytes(job.spec);
  const std::string inputs = EncodeBytes(job.inputs);
  const long long create_time = absl::ToUnixNanos(job.create_time);
  const int state = static_cast<int>(job.state);
  const std::string checksum = JobChecksum(job);
  if (!is_new) {
    *session_ << "UPDATE jobs SET state = :state, failure = :failure, elapsed_seconds = :elapsed,"
                 " numerics_class = :class, result_artifact = :artifact, checksum = :checksum WHERE job_id = :job",
        soci::use(state, "state"), soci::use(job.failure, "failure"), soci::use(job.elapsed_seconds, "elapsed"),
        soci::use(job.numerics_class, "class"), soci::use(job.result_artifact, "artifact"),
        soci::use(checksum, "checksum"), soci::use(job.job_id, "job");
    return;
  }
  const long long position = Take("sequence");
  soci::indicator has_request = job.request_id.empty() ? soci::i_null : soci::i_ok;
  *session_ << "INSERT INTO jobs (job_id, position, request_id, submitted, spec, inputs, create_time_ns, state,"
               " failure, elapsed_seconds, numerics_class, result_artifact, checksum) VALUES (:job, :position, :request,"
               " :submitted, :spec, :inputs, :created, :state, :failure, :elapsed, :class, :artifact,"
               " :checksum)",
      soci::use(job.job_id, "job"), soci::use(position, "position"), soci::use(job.request_id, has_request, "request"),
      soci::use(submitted, "submitted"), soci::use(spec, "spec"), soci::use(inputs, "inputs"),
      soci::use(create_time, "created"), soci::use(state, "state"),
      soci::use(job.failure, "failure"), soci::use(job.elapsed_seconds, "elapsed"),
      soci::use(job.numerics_class, "class"), soci::use(job.result_artifact, "artifact"),
      soci::use(checksum, "checksum");
}

absl::StatusOr<JobRecord> SociJobStore::ReadJob(const std::string& job_id) {
  JobRecord job;
  job.job_id = job_id;
  std::string request, submitted, spec, inputs, checksum;
  soci::indicator has_request = soci::i_null;
  long long create_time = 0;
  int state = 0;
  *session_ << "SELECT request_id, submitted, spec, inputs, create_time_ns, state, failure, elapsed_seconds,"
               " numerics_class, result_artifact, checksum FROM jobs WHERE job_id = :job",
      soci::use(job_id, "job"), soci::into(request, has_request), soci::into(submitted), soci::into(spec),
      soci::into(inputs), soci::into(create_time), soci::into(state), soci::into(job.failure),
      soci::into(job.elapsed_seconds), soci::into(job.numerics_class), soci::into(job.result_artifact),
      soci::into(checksum);
  if (!session_->got_data()) return absl::NotFoundError(absl::StrCat("there is no job '", job_id, "'"));
  if (has_request == soci::i_ok) job.request_id = request;
  ESPALIER_ASSIGN_OR_RETURN(job.submitted, DecodeBytes(submitted));
  ESPALIER_ASSIGN_OR_RETURN(job.spec, DecodeBytes(spec));
  ESPALIER_ASSIGN_OR_RETURN(job.inputs, DecodeBytes(inputs));
  job.create_time = absl::FromUnixNanos(create_time);
  job.state = static_cast<JobState>(state);
  if (checksum != JobChecksum(job)) {
    return absl::DataLossError(absl::StrCat("the stored job '", job_id, "' is damaged (checksum)"));
  }
  return job;
}

absl::Status SociJobStore::UpdateJob(const std::string& job_id, const JobUpdate& update) {
  return InTransaction("updating a job", [&]() -> absl::Status {
    ESPALIER_ASSIGN_OR_RETURN(JobRecord job, ReadJob(job_id));
    if (update.state.has_value()) job.state = *update.state;
    if (update.failure.has_value()) job.failure = CleanText(*update.failure);
    if (update.elapsed_seconds.has_value()) job.elapsed_seconds = *update.elapsed_seconds;
    if (update.numerics_class.has_value()) job.numerics_class = CleanText(*update.numerics_class);
    if (update.result_artifact.has_value()) job.result_artifact = *update.result_artifact;
    WriteJob(job, false);
    return absl::OkStatus();
  });
}

absl::Status SociJobStore::DeleteJob(const std::string& job_id) {
  return InTransaction("deleting a job", [&]() -> absl::Status {
    *session_ << "DELETE FROM events WHERE job_id = :job", soci::use(job_id, "job");
    *session_ << "DELETE FROM attempts WHERE job_id = :job", soci::use(job_id, "job");
    KeepRequest(job_id);
    *session_ << "DELETE FROM jobs WHERE job_id = :job", soci::use(job_id, "job");
    return absl::OkStatus();
  });
}

void SociJobStore::KeepRequest(const std::string& job_id) {
  std::string request;
  soci::indicator has_request = soci::i_null;
  *session_ << "SELECT request_id FROM jobs WHERE job_id = :job", soci::use(job_id, "job"), soci::into(request, has_request);
  if (!session_->got_data() || has_request != soci::i_ok) return;
  const std::string checksum = RowChecksum({request, job_id});
  *session_ << "DELETE FROM deleted_requests WHERE request_id = :request", soci::use(request, "request");
  *session_ << "INSERT INTO deleted_requests (request_id, job_id, checksum) VALUES (:request, :job, :checksum)",
      soci::use(request, "request"), soci::use(job_id, "job"), soci::use(checksum, "checksum");
}

absl::StatusOr<std::map<std::string, std::string>> SociJobStore::LoadDeletedRequests() {
  std::map<std::string, std::string> requests;
  const absl::Status status = Reading("loading the requests of deleted jobs", [&]() -> absl::Status {
    requests.clear();
    const soci::rowset<soci::row> rows = (session_->prepare << "SELECT request_id, job_id, checksum FROM deleted_requests");
    for (const soci::row& row : rows) {
      const std::string request = row.get<std::string>(0), job_id = row.get<std::string>(1);
      if (row.get<std::string>(2) != RowChecksum({request, job_id})) {
        return absl::DataLossError(absl::StrCat("the stored request of the deleted job '", job_id, "' is damaged (checksum)"));
      }
      requests[request] = job_id;
    }
    return absl::OkStatus();
  });
  if (!status.ok()) return status;
  return requests;
}

absl::StatusOr<std::vector<JobRecord>> SociJobStore::LoadJobs() {
  std::vector<JobRecord> jobs;
  const absl::Status status = Reading("loading jobs", [&]() -> absl::Status {
    jobs.clear();
    std::vector<std::string> ids;
    const soci::rowset<std::string> rows = (session_->prepare << "SELECT job_id FROM jobs ORDER BY position");
    for (const std::string& id : rows) ids.push_back(id);
    for (const std::string& id : ids) {
      ESPALIER_ASSIGN_OR_RETURN(JobRecord job, ReadJob(id));
      jobs.push_back(std::move(job));
    }
    return absl::OkStatus();
  });
  if (!status.ok()) return status;
  return jobs;
}

}  // namespace espalier
