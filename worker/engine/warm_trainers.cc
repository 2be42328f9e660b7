#include "worker/engine/warm_trainers.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace espalier {

std::string WarmTrainers::KeyOf(const EvaluateTask& task) {
  // The bank decides which heads a level keeps, so the same mask of another bank is another model.
  return absl::StrCat(task.mask_digest, "/", task.bank.key, "/", absl::StrJoin(task.bank.layer_digests, ","), "/",
                      task.tokens_per_step);
}

std::optional<TrainedCandidate> WarmTrainers::Take(const EvaluateTask& task, const LanguageModel* dense) {
  const std::string key = KeyOf(task);
  const std::lock_guard lock(mutex_);
  const auto found = std::find_if(entries_.begin(), entries_.end(), [&](const Entry& entry) {
    return entry.key == key && entry.candidate.dense.get() == dense && entry.candidate.settings == task.train;
  });
  if (found == entries_.end()) return std::nullopt;
  TrainedCandidate candidate = std::move(found->candidate);
  held_bytes_ -= found->bytes;
  entries_.erase(found);
  return candidate;
}

void WarmTrainers::Keep(const EvaluateTask& task, TrainedCandidate candidate) {
  const int64_t bytes = LiveBytesOf(*candidate.trainer);
  if (bytes > device_bytes_) return;
  std::list<Entry> dropped;  // destroyed without the lock
  const std::lock_guard lock(mutex_);
  entries_.push_front({KeyOf(task), bytes, std::move(candidate)});
  held_bytes_ += bytes;
  while (held_bytes_ > device_bytes_ || entries_.size() > kMost) {
    held_bytes_ -= entries_.back().bytes;
    dropped.splice(dropped.end(), entries_, std::prev(entries_.end()));
  }
}

int64_t WarmTrainers::bytes() const {
  const std::lock_guard lock(mutex_);
  return held_bytes_;
}

bool WarmTrainers::DropOldest() {
  std::list<Entry> dropped;  // destroyed without the lock
  const std::lock_guard lock(mutex_);
  if (entries_.empty()) return false;
  held_bytes_ -= entries_.back().bytes;
  dropped.splice(dropped.end(), entries_, std::prev(entries_.end()));
  return true;
}

void WarmTrainers::Clear() {
  std::list<Entry> dropped;
  const std::lock_guard lock(mutex_);
  dropped.swap(entries_);
  held_bytes_ = 0;
}

}  // namespace espalier
