#include "coordinator/store/memory_job_store.h"

#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"

namespace espalier {

const char* Name(AttemptEnd end) {
  switch (end) {
    case AttemptEnd::kOpen:
      return "open";
    case AttemptEnd::kCommitted:
      return "committed";
    case AttemptEnd::kFailed:
      return "failed";
    case AttemptEnd::kExpired:
      return "expired";
    case AttemptEnd::kHandedBack:
      return "handed_back";
  }
  return "unknown";
}

MemoryJobStore::MemoryJobStore(std::shared_ptr<Content> content)
    : content_(std::move(content)), epoch_(++content_->epoch) {}

absl::Status MemoryJobStore::CheckEpoch() const {
  if (content_->epoch == epoch_) return absl::OkStatus();
  return absl::AbortedError(
      absl::StrCat("another coordinator has taken over: epoch ", content_->epoch, " is newer than ", epoch_));
}

JobRecord* MemoryJobStore::FindJob(const std::string& job_id) {
  for (JobRecord& job : content_->jobs) {
    if (job.job_id == job_id) return &job;
  }
  return nullptr;
}

AttemptRecord* MemoryJobStore::FindAttempt(const LeaseToken& token) {
  for (AttemptRecord& attempt : content_->attempts) {
    if (attempt.token == token) return &attempt;
  }
  return nullptr;
}

absl::Status MemoryJobStore::InsertJob(const JobRecord& job) {
  ESPALIER_RETURN_IF_ERROR(CheckEpoch());
  for (const JobRecord& other : content_->jobs) {
    if (other.job_id == job.job_id) return absl::AlreadyExistsError(absl::StrCat("job id '", job.job_id, "' is taken"));
    if (!job.request_id.empty() && other.request_id == job.request_id) {
      return absl::AlreadyExistsError(absl::StrCat("request id '", job.request_id, "' was used for '", other.job_id, "'"));
    }
  }
  content_->jobs.push_back(job);
  return absl::OkStatus();
}

absl::Status MemoryJobStore::UpdateJob(const std::string& job_id, const JobUpdate& update) {
  ESPALIER_RETURN_IF_ERROR(CheckEpoch());
  JobRecord* job = FindJob(job_id);
  if (job == nullptr) return absl::NotFoundError(absl::StrCat("there is no job '", job_id, "'"));
  if (update.state.has_value()) job->state = *update.state;
  if (update.failure.has_value()) job->failure = *update.failure;
  if (update.elapsed_seconds.has_value()) job->elapsed_seconds = *update.elapsed_seconds;
  if (update.numerics_class.has_value()) job->numerics_class = *update.numerics_class;
  if (update.result_artifact.has_value()) job->result_artifact = *update.result_artifact;
  return absl::OkStatus();
}

absl::Status MemoryJobStore::DeleteJob(const std::string& job_id) {
  ESPALIER_RETURN_IF_ERROR(CheckEpoch());
  if (const JobRecord* job = FindJob(job_id); job != nullptr && !job->request_id.empty()) {
    content_->deleted_requests[job->request_id] = job_id;
  }
  std::erase_if(content_->jobs, [&](const JobRecord& job) { return job.job_id == job_id; });
  std::erase_if(content_->attempts, [&](const AttemptRecord& attempt) { return attempt.token.job_id == job_id; });
  std::erase_if(content_->events, [&](const EventRecord& event) { return event.job_id == job_id; });
  return absl::OkStatus();
}

absl::StatusOr<std::map<std::string, std::string>> MemoryJobStore::LoadDeletedRequests() { return content_->deleted_requests; }

absl::StatusOr<std::vector<JobRecord>> MemoryJobStore::LoadJobs() { return content_->jobs; }

absl::Status MemoryJobStore::InsertAttempts(const std::vector<AttemptRecord>& attempts) {
  ESPALIER_RETURN_IF_ERROR(CheckEpoch());
  for (const AttemptRecord& attempt : attempts) {
    for (const AttemptRecord& other : content_->attempts) {
      if (other.token.job_id == attempt.token.job_id && other.token.task_id == attempt.token.task_id &&
          other.token.attempt == attempt.token.attempt) {
        return absl::AlreadyExistsError(absl::StrCat(ToText(attempt.token), " was granted before"));
      }
    }
  }
  content_->attempts.insert(content_->attempts.end(), attempts.begin(), attempts.end());
  return absl::OkStatus();
}

absl::Status MemoryJobStore::EndAttempt(const LeaseToken& token, AttemptEnd end, const std::string& reason) {
  ESPALIER_RETURN_IF_ERROR(CheckEpoch());
  AttemptRecord* attempt = FindAttempt(token);
  if (attempt == nullptr) return absl::NotFoundError(absl::StrCat(ToText(token), " was never granted"));
  if (attempt->end == AttemptEnd::kOpen) {
    attempt->end = end;
    attempt->reason = reason;
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<AttemptRecord>> MemoryJobStore::LoadAttempts(const std::string& job_id) {
  std::vector<AttemptRecord> found;
  for (const AttemptRecord& attempt : content_->attempts) {
    if (attempt.token.job_id == job_id) found.push_back(attempt);
  }
  return found;
}

absl::Status MemoryJobStore::CheckOutcome(const EventRecord& event, AttemptRecord** granted) {
  for (const EventRecord& other : content_->events) {
    if (other.job_id == event.job_id && !event.task_id.empty() && other.task_id == event.task_id) {
      return absl::AlreadyExistsError(
          absl::StrCat(event.job_id, "/", event.task_id, " was committed as event ", other.sequence));
    }
  }
  if (event.kind != EventKind::kOutcome || event.attempt == 0) return absl::OkStatus();
  for (AttemptRecord& attempt : content_->attempts) {
    if (attempt.token.job_id == event.job_id && attempt.token.task_id == event.task_id &&
        attempt.token.attempt == event.attempt && attempt.input_digest == event.input_digest) {
      *granted = &attempt;
      return absl::OkStatus();
    }
  }
  return absl::FailedPreconditionError(absl::StrCat(event.job_id, "/", event.task_id, " attempt ", event.attempt,
                                                    " was never granted with input ", event.input_digest));
}

absl::Status MemoryJobStore::CheckAll(const std::vector<EventCommit>& commits) {
  std::set<std::pair<std::string, std::string>> tasks;
  for (const auto& [event, bank] : commits) {
    if (FindJob(event.job_id) == nullptr) return absl::NotFoundError(absl::StrCat("there is no job '", event.job_id, "'"));
    AttemptRecord* attempt = nullptr;
    ESPALIER_RETURN_IF_ERROR(CheckOutcome(event, &attempt));
    if (!event.task_id.empty() && !tasks.insert({event.job_id, event.task_id}).second) {
      return absl::AlreadyExistsError(absl::StrCat(event.job_id, "/", event.task_id, " is committed twice at once"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<int64_t>> MemoryJobStore::CommitAll(const std::vector<EventCommit>& commits) {
  ESPALIER_RETURN_IF_ERROR(CheckEpoch());
  ESPALIER_RETURN_IF_ERROR(CheckAll(commits));
  std::vector<int64_t> sequences;
  for (const auto& [event, bank] : commits) {
    AttemptRecord* attempt = nullptr;
    ESPALIER_RETURN_IF_ERROR(CheckOutcome(event, &attempt));
    EventRecord& added = content_->events.emplace_back(event);
    added.sequence = ++content_->sequence;
    FindJob(event.job_id)->elapsed_seconds = event.elapsed_seconds;
    if (attempt != nullptr) attempt->end = AttemptEnd::kCommitted;
    if (bank.has_value()) EnterBankLayer(*bank);
    sequences.push_back(added.sequence);
  }
  return sequences;
}

void MemoryJobStore::EnterBankLayer(const BankLayerRecord& bank) {
  int revision = 0;
  for (const auto& [record, is_lost] : content_->bank) {
    if (record.key != bank.key || record.layer != bank.layer) continue;
    if (!is_lost) return;
    revision = std::max(revision, record.revision);
  }
  BankLayerRecord added = bank;
  added.revision = revision + 1;
  content_->bank.emplace_back(std::move(added), false);
}

absl::StatusOr<std::vector<EventRecord>> MemoryJobStore::LoadEvents(const std::string& job_id, int64_t after_sequence) {
  std::vector<EventRecord> found;
  for (const EventRecord& event : content_->events) {
    if (event.job_id == job_id && event.sequence > after_sequence) found.push_back(event);
  }
  return found;
}

absl::StatusOr<std::optional<BankLayerRecord>> MemoryJobStore::FindBankLayer(const std::string& key, int layer) {
  for (const auto& [record, is_lost] : content_->bank) {
    if (!is_lost && record.key == key && record.layer == layer) return record;
  }
  return std::nullopt;
}

absl::Status MemoryJobStore::LoseBankLayers(const std::string& artifact) {
  ESPALIER_RETURN_IF_ERROR(CheckEpoch());
  for (auto& [record, is_lost] : content_->bank) {
    if (record.artifact == artifact) is_lost = true;
  }
  return absl::OkStatus();
}

}  // namespace espalier
