// A JobStore that keeps everything in memory, for tests. Reopen() is what a restart is to a durable one.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "coordinator/store/job_store.h"

namespace espalier {

class MemoryJobStore : public JobStore {
 public:
  // What outlives a restart; several stores over it are several coordinators over one database.
  struct Content {
    int64_t epoch = 0;
    int64_t sequence = 0;
    std::vector<JobRecord> jobs;
    std::vector<AttemptRecord> attempts;
    std::vector<EventRecord> events;
    std::map<std::string, std::string> deleted_requests;  // request id, job id
    std::vector<std::pair<BankLayerRecord, bool>> bank;  // with whether it is lost
  };

  explicit MemoryJobStore(std::shared_ptr<Content> content);

  absl::StatusOr<std::string> Identity() override { return std::string("memory"); }
  int64_t epoch() const override { return epoch_; }
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
  absl::Status Health() const override { return absl::OkStatus(); }

 private:
  absl::Status CheckEpoch() const;
  JobRecord* FindJob(const std::string& job_id);
  AttemptRecord* FindAttempt(const LeaseToken& token);
  absl::Status CheckOutcome(const EventRecord& event, AttemptRecord** attempt);
  absl::Status CheckAll(const std::vector<EventCommit>& commits);
  void EnterBankLayer(const BankLayerRecord& bank);

  std::shared_ptr<Content> content_;
  int64_t epoch_;
};

}  // namespace espalier
