#include "coordinator/schedule/attempt_log.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace espalier {
namespace {

constexpr size_t kMaxReasonBytes = 2000;  // of one attempt: what a worker sends may be as long as a message

std::string AsReason(const std::string& worker_id, const std::string& reason) {
  const bool is_long = reason.size() > kMaxReasonBytes;
  return absl::StrCat("worker ", worker_id, ": ", is_long ? reason.substr(0, kMaxReasonBytes) : reason,
                      is_long ? "..." : "");
}

}  // namespace

int AttemptLog::NextAttempt(const std::string& task_id) { return ++entries_[task_id].granted; }

void AttemptLog::NoteGranted(const std::string& task_id, int attempt) {
  Entry& entry = entries_[task_id];
  entry.granted = std::max(entry.granted, attempt);
}

void AttemptLog::NoteFailed(const std::string& task_id, const std::string& worker_id, const std::string& reason) {
  Entry& entry = entries_[task_id];
  ++entry.failed;
  entry.failed_workers.insert(worker_id);
  entry.reasons.push_back(AsReason(worker_id, reason));
}

void AttemptLog::NoteExpired(const std::string& task_id, const std::string& worker_id, const std::string& reason) {
  Entry& entry = entries_[task_id];
  ++entry.expired;
  entry.reasons.push_back(AsReason(worker_id, reason));
}

std::string AttemptLog::Reasons(const std::string& task_id) const {
  const auto found = entries_.find(task_id);
  return found == entries_.end() ? "" : absl::StrJoin(found->second.reasons, "; ");
}

std::optional<std::string> AttemptLog::GiveUp(const std::string& task_id, int max_attempts) const {
  const auto found = entries_.find(task_id);
  if (found == entries_.end()) return std::nullopt;
  const Entry& entry = found->second;
  if (entry.failed < max_attempts && entry.expired < 2 * max_attempts) return std::nullopt;
  return absl::StrCat("given up after ", entry.failed, " failed attempts and ", entry.expired, " lost workers: ",
                      Reasons(task_id));
}

const std::set<std::string>& AttemptLog::FailedWorkers(const std::string& task_id) const {
  static const std::set<std::string> kNone;
  const auto found = entries_.find(task_id);
  return found == entries_.end() ? kNone : found->second.failed_workers;
}

void AttemptLog::Forget(const std::string& task_id) {
  const auto found = entries_.find(task_id);
  if (found == entries_.end()) return;
  const int granted = found->second.granted;
  found->second = Entry{};
  found->second.granted = granted;
}

}  // namespace espalier
