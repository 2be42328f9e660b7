// Values that several tasks share and that can be made again: kept up to a number of bytes, the one used longest ago
// goes first.
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "absl/status/statusor.h"

namespace espalier {

// Thread-safe. The lock is held while a value is made: a second task that wants the same waits instead of making it
// too.
template <typename T>
class ByteCache {
 public:
  struct Made {
    std::shared_ptr<const T> value;
    int64_t bytes = 0;
  };

  // `settle` runs before a made value is handed out to other threads: waits for the device work that fills it.
  explicit ByteCache(int64_t budget_bytes, std::function<void()> settle = {})
      : budget_bytes_(budget_bytes), settle_(std::move(settle)) {}

  // The value of the key, made when it is not held. A value larger than the budget is handed out and not kept.
  absl::StatusOr<std::shared_ptr<const T>> Get(const std::string& key,
                                               const std::function<absl::StatusOr<Made>()>& make) {
    std::lock_guard lock(mutex_);
    for (auto entry = entries_.begin(); entry != entries_.end(); ++entry) {
      if (entry->first != key) continue;
      entries_.splice(entries_.begin(), entries_, entry);
      return entries_.front().second.value;
    }
    auto made = make();
    if (!made.ok()) return std::move(made).status();
    if (settle_) settle_();
    std::shared_ptr<const T> value = made->value;
    if (made->bytes > budget_bytes_) return value;
    held_bytes_ += made->bytes;
    entries_.emplace_front(key, *std::move(made));
    while (held_bytes_ > budget_bytes_) {
      held_bytes_ -= entries_.back().second.bytes;
      entries_.pop_back();
    }
    return value;
  }

  void Clear() {
    std::lock_guard lock(mutex_);
    entries_.clear();
    held_bytes_ = 0;
  }

  int64_t bytes() const {
    std::lock_guard lock(mutex_);
    return held_bytes_;
  }

  // Forgets the value used longest ago; false when none is held.
  bool DropOldest() {
    std::lock_guard lock(mutex_);
    if (entries_.empty()) return false;
    held_bytes_ -= entries_.back().second.bytes;
    entries_.pop_back();
    return true;
  }

  int64_t budget_bytes() const { return budget_bytes_; }

 private:
  const int64_t budget_bytes_;
  const std::function<void()> settle_;
  mutable std::mutex mutex_;
  std::list<std::pair<std::string, Made>> entries_;  // latest first
  int64_t held_bytes_ = 0;
};

}  // namespace espalier
