// JobStore in SQL through SOCI: what all databases share. A subclass or factory opens the session and makes the schema.
#pragma once

#include <soci/soci.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "coordinator/store/job_store.h"

namespace espalier {

// The statements that make schema version 1; plain SQL that SQLite and PostgreSQL both take.
extern const char* const kSchemaStatements[];
extern const int kNumSchemaStatements;
inline constexpr int kSchemaVersion = 1;

class SociJobStore : public JobStore {
 public:
  // What an exception of the database means.
  using ErrorTranslator = std::function<absl::Status(const soci::soci_error&, const std::string& what)>;

  // The schema is there; raises the epoch.
  static absl::Status RaiseEpoch(soci::session& session, const ErrorTranslator& translate, int64_t* epoch);

  SociJobStore(std::unique_ptr<soci::session> session, ErrorTranslator translate, int64_t epoch);

  int64_t epoch() const override { return epoch_; }
  absl::Status InsertJob(const JobRecord& job) override;
  absl::Status UpdateJob(const std::string& job_id, const JobUpdate& update) override;
  absl::Status DeleteJob(const std::string& job_id) override;
  absl::StatusOr<std::vector<JobRecord>> LoadJobs() override;
  absl::Status InsertAttempts(const std::vector<AttemptRecord>& attempts) override;
  absl::Status EndAttempt(const LeaseToken& token, AttemptEnd end, const std::string& reason) override;
  absl::StatusOr<std::vector<AttemptRecord>> LoadAttempts(const std::string& job_id) override;
  absl::StatusOr<int64_t> Commit(const EventRecord& event, const std::optional<BankLayerRecord>& bank) override;
  absl::StatusOr<std::vector<EventRecord>> LoadEvents(const std::string& job_id, int64_t after_sequence) override;
  absl::StatusOr<std::optional<BankLayerRecord>> FindBankLayer(const std::string& key, int layer) override;
  absl::Status LoseBankLayers(const std::string& artifact) override;
  absl::Status Health() const override { return health_; }

 private:
  // Runs `body` in a transaction that has checked the epoch; rolls back when it fails.
  absl::Status InTransaction(const char* what, const std::function<absl::Status()>& body);
  // Runs a read, translating exceptions.
  absl::Status Reading(const char* what, const std::function<absl::Status()>& body);
  absl::Status CheckEpoch();
  absl::Status CheckCommit(const EventRecord& event);
  void InsertEvent(const EventRecord& event);
  void EnterBankLayer(const BankLayerRecord& bank);
  absl::StatusOr<JobRecord> ReadJob(const std::string& job_id);
  void WriteJob(const JobRecord& job, bool is_new);

  std::unique_ptr<soci::session> session_;
  ErrorTranslator translate_;
  int64_t epoch_;
  absl::Status health_;
};

}  // namespace espalier
