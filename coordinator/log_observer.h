// Tells the log what the core tells, and passes it on. No tokens, no file contents.
#pragma once

#include <string>

#include "coordinator/core/observer.h"

namespace espalier {

class LogObserver final : public CoordinatorObserver {
 public:
  explicit LogObserver(CoordinatorObserver* next) : next_(next) {}

  void OnJobState(const std::string& job_id, JobState state, const std::string& why) override;
  void OnLeaseGranted(const LeaseToken& token, const std::string& worker_id, TaskKind kind, const std::string& reason,
                      absl::Duration queued) override;
  void OnLeaseEnded(const LeaseToken& token, const std::string& worker_id, AttemptEnd end,
                    const std::string& reason) override;
  void OnCommitted(const LeaseToken& token, const TaskOutcome& outcome, absl::Duration ran) override;
  void OnLeaseOver(absl::Duration held, AttemptEnd end) override { next_->OnLeaseOver(held, end); }
  void OnGenerationEnded(const std::string& job_id, absl::Duration took) override { next_->OnGenerationEnded(job_id, took); }
  void OnOffspringMeasured(const std::string& job_id, const OffspringTallies& offspring) override {
    next_->OnOffspringMeasured(job_id, offspring);
  }
  void OnStageEnded(const std::string& job_id, const StageTime& time) override { next_->OnStageEnded(job_id, time); }
  void OnReportRefused(const LeaseToken& token, const std::string& reason) override;
  void OnTaskGivenUp(const std::string& job_id, const std::string& task_id, const std::string& why) override;
  void OnWorkerSeen(const std::string& worker_id, const std::string& host_and_device) override;
  void OnWorkerQuarantined(const std::string& worker_id, absl::Duration term,
                           const std::vector<std::string>& reasons) override;
  void OnWorkerGone(const std::string& worker_id, WorkerEnd end, const std::string& why) override;
  void OnStoreError(const std::string& what, const absl::Status& status) override;
  void OnStoreWrite(absl::Duration took) override;

 private:
  CoordinatorObserver* next_;
};

}  // namespace espalier
