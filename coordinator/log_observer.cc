#include "coordinator/log_observer.h"

#include <spdlog/spdlog.h>

#include "absl/strings/str_join.h"
#include "common/domain/lease_token.h"
#include "common/security/redact.h"

namespace espalier {

void LogObserver::OnJobState(const std::string& job_id, JobState state, const std::string& why) {
  spdlog::info("job {} is {}{}{}", job_id, Name(state), why.empty() ? "" : ": ", WithoutPaths(why));
  next_->OnJobState(job_id, state, why);
}

void LogObserver::OnLeaseGranted(const LeaseToken& token, const std::string& worker_id, TaskKind kind,
                                 const std::string& reason, absl::Duration queued) {
  spdlog::debug("leased {} to worker {}: {}", ToText(token), worker_id, WithoutPaths(reason));
  next_->OnLeaseGranted(token, worker_id, kind, reason, queued);
}

void LogObserver::OnLeaseEnded(const LeaseToken& token, const std::string& worker_id, AttemptEnd end,
                               const std::string& reason) {
  const auto level = end == AttemptEnd::kHandedBack ? spdlog::level::debug : spdlog::level::warn;
  spdlog::log(level, "lease of {} by worker {} {}: {}", ToText(token), worker_id, Name(end), WithoutPaths(reason));
  next_->OnLeaseEnded(token, worker_id, end, reason);
}

void LogObserver::OnCommitted(const LeaseToken& token, const TaskOutcome& outcome, absl::Duration ran) {
  spdlog::debug("committed {} after {:.3f} s", ToText(token), absl::ToDoubleSeconds(ran));
  next_->OnCommitted(token, outcome, ran);
}

void LogObserver::OnReportRefused(const LeaseToken& token, const std::string& reason) {
  spdlog::warn("report about {} refused: {}", ToText(token), WithoutPaths(reason));
  next_->OnReportRefused(token, reason);
}

void LogObserver::OnTaskGivenUp(const std::string& job_id, const std::string& task_id, const std::string& why) {
  spdlog::error("task {} of job {} {}", task_id, job_id, WithoutPaths(why));
  next_->OnTaskGivenUp(job_id, task_id, why);
}

void LogObserver::OnWorkerSeen(const std::string& worker_id, const std::string& host_and_device) {
  spdlog::info("worker {} joined: {}", worker_id, WithoutPaths(host_and_device));
  next_->OnWorkerSeen(worker_id, host_and_device);
}

void LogObserver::OnWorkerQuarantined(const std::string& worker_id, absl::Duration term,
                                      const std::vector<std::string>& reasons) {
  if (reasons.empty()) {
    spdlog::info("worker {} gets leases again", worker_id);
  } else {
    spdlog::warn("worker {} gets no leases for {}: it failed what other workers did: {}", worker_id,
                 absl::FormatDuration(term), absl::StrJoin(reasons, "; "));
  }
  next_->OnWorkerQuarantined(worker_id, term, reasons);
}

void LogObserver::OnWorkerGone(const std::string& worker_id, WorkerEnd end, const std::string& why) {
  spdlog::info("worker {} gone: {}", worker_id, WithoutPaths(why));
  next_->OnWorkerGone(worker_id, end, why);
}

void LogObserver::OnStoreError(const std::string& what, const absl::Status& status) {
  spdlog::error("the store refused {}: {}", what, WithoutPaths(status.ToString()));
  next_->OnStoreError(what, status);
}

void LogObserver::OnStoreWrite(absl::Duration took) { next_->OnStoreWrite(took); }

}  // namespace espalier
