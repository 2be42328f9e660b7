// JobStore in SQL through SOCI: what all databases share. A factory of each opens the session and makes the schema.
#pragma once

#include <soci/soci.h>

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "coordinator/store/job_store.h"
#include "coordinator/store/statement_cache.h"

namespace espalier {

// Where databases differ.
struct SqlDialect {
  // What an exception of the database means. kUnavailable: the connection is gone or the transaction was thrown out, and
  // trying again may help.
  std::function<absl::Status(const soci::soci_error&, const std::string& what)> translate;
  // Reads the epoch; where other programs may write, keeps it from rising until the transaction ends.
  std::string epoch_query = "SELECT number FROM meta WHERE name = 'epoch'";
  // Set: makes the session anew after its connection was lost. Transactions are then counted in meta, so that a commit
  // whose answer was lost can be looked up.
  std::function<absl::Status(soci::session&)> reconnect;
};

class SociJobStore : public JobStore {
 public:
  // The schema is there; raises the epoch.
  static absl::Status RaiseEpoch(soci::session& session, const SqlDialect& dialect, int64_t* epoch);

  SociJobStore(std::unique_ptr<soci::session> session, SqlDialect dialect, int64_t epoch);

  int64_t epoch() const override { return epoch_; }
  absl::StatusOr<std::string> Identity() override;
  absl::Status InsertJob(const JobRecord& job) override;
  absl::Status UpdateJob(const std::string& job_id, const JobUpdate& update) override;
  absl::Status DeleteJob(const std::string& job_id) override;
  absl::StatusOr<std::map<std::string, std::string>> LoadDeletedRequests() override;
  absl::StatusOr<std::vector<JobRecord>> LoadJobs() override;
  absl::Status InsertAttempts(const std::vector<AttemptRecord>& attempts) override;
  absl::Status EndAttempt(const LeaseToken& token, AttemptEnd end, const std::string& reason) override;
  absl::StatusOr<std::vector<AttemptRecord>> LoadAttempts(const std::string& job_id) override;
  absl::StatusOr<std::vector<int64_t>> CommitAll(const std::vector<EventCommit>& commits) override;
  absl::StatusOr<std::vector<EventRecord>> LoadEvents(const std::string& job_id, int64_t after_sequence) override;
  absl::StatusOr<std::optional<BankLayerRecord>> FindBankLayer(const std::string& key, int layer) override;
  absl::Status LoseBankLayers(const std::string& artifact) override;
  absl::Status Health() const override { return health_; }

 protected:
  soci::session& session() { return *session_; }
  const SqlDialect& dialect() const { return dialect_; }
  std::mutex& use() { return use_; }  // held while the session is used: a copy is made beside the coordinator's lock

 private:
  // Runs `body` in a transaction that has checked the epoch; rolls back when it fails. A connection that is lost
  // meanwhile is made anew and the transaction done once more, unless it turns out to be done.
  absl::Status InTransaction(const char* what, const std::function<absl::Status()>& body);
  absl::Status TryTransaction(const char* what, const std::function<absl::Status()>& body, bool* is_committing);
  absl::StatusOr<bool> IsDone(int64_t write);
  // Runs a read, translating exceptions; once more after a lost connection.
  absl::Status Reading(const char* what, const std::function<absl::Status()>& body);
  absl::Status TryReading(const char* what, const std::function<absl::Status()>& body);
  absl::Status CheckEpoch();
  absl::Status Reconnect();
  int64_t Take(const std::string& counter);  // as TakeNext
  absl::Status NoteHealth(const absl::Status& status);

  // soci_event_store.cc
  absl::Status CheckCommit(const EventRecord& event);
  void InsertEvent(const EventRecord& event);
  absl::Status InsertCommit(const EventCommit& commit, int64_t* sequence);
  void EnterBankLayer(const BankLayerRecord& bank);
  // soci_attempt_store.cc
  absl::Status InsertAttempt(const AttemptRecord& attempt);
  absl::StatusOr<std::optional<AttemptRecord>> ReadAttempt(const LeaseToken& token);  // whatever its epoch
  void WriteAttemptEnd(const AttemptRecord& attempt);

  absl::StatusOr<JobRecord> ReadJob(const std::string& job_id);
  void WriteJob(const JobRecord& job, bool is_new);
  void KeepRequest(const std::string& job_id);  // of a job that is about to be deleted

  std::mutex use_;
  std::unique_ptr<soci::session> session_;
  StatementCache statements_;
  SqlDialect dialect_;
  int64_t epoch_;
  int64_t last_write_ = 0;  // meta's counter in the transaction before this one
  absl::Status health_;
};

// Takes the next number of a counter in `meta`.
int64_t TakeNext(soci::session& session, const std::string& counter);

}  // namespace espalier
