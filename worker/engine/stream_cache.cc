#include "worker/engine/stream_cache.h"

#include <algorithm>
#include <utility>

#include "common/base/status_macros.h"
#include "worker/model/device_runtime.h"

namespace espalier {
namespace {

std::shared_ptr<const StreamRows> Extend(const StreamRows* held, const std::vector<int64_t>& more,
                                         TeacherStates states) {
  auto rows = std::make_shared<StreamRows>();
  if (held != nullptr) {
    rows->windows = held->windows;
    states.tokens_WL = torch::cat({held->states.tokens_WL, states.tokens_WL});
    states.hidden_WLD = torch::cat({held->states.hidden_WLD, states.hidden_WLD});
  }
  rows->windows.insert(rows->windows.end(), more.begin(), more.end());
  rows->states = std::move(states);
  for (size_t row = 0; row < rows->windows.size(); ++row)
    rows->row_of_window[rows->windows[row]] = static_cast<int64_t>(row);
  return rows;
}

}  // namespace

absl::StatusOr<std::shared_ptr<const StreamRows>> StreamCache::Get(const std::string& key,
                                                                   const std::vector<int64_t>& windows,
                                                                   const Compute& compute) {
  std::lock_guard lock(mutex_);
  auto entry = std::find_if(entries_.begin(), entries_.end(), [&](const Entry& held) { return held.key == key; });
  if (entry == entries_.end()) {
    entries_.push_front({key, nullptr});
  } else {
    entries_.splice(entries_.begin(), entries_, entry);
  }
  std::shared_ptr<const StreamRows>& rows = entries_.front().rows;
  const size_t held = rows == nullptr ? 0 : rows->windows.size();
  if (held < windows.size()) {
    const std::vector<int64_t> more(windows.begin() + static_cast<int64_t>(held), windows.end());
    auto states = compute(more);
    if (!states.ok()) {
      if (rows == nullptr) entries_.pop_front();
      return std::move(states).status();
    }
    rows = Extend(rows.get(), more, *std::move(states));
    SynchronizeCurrentStream(rows->states.hidden_WLD.device());  // tasks on other streams read it next
  }
  const std::shared_ptr<const StreamRows> result = rows;
  int64_t bytes = 0;
  for (auto kept = entries_.begin(); kept != entries_.end();) {
    bytes += kept->rows->states.bytes();
    kept = bytes > budget_bytes_ ? entries_.erase(kept) : std::next(kept);
  }
  return result;
}

int64_t StreamCache::bytes() const {
  std::lock_guard lock(mutex_);
  int64_t bytes = 0;
  for (const Entry& entry : entries_) bytes += entry.rows->states.bytes();
  return bytes;
}

bool StreamCache::DropOldest() {
  std::lock_guard lock(mutex_);
  if (entries_.size() < 2) return false;
  entries_.pop_back();
  return true;
}

void StreamCache::Clear() {
  std::lock_guard lock(mutex_);
  entries_.clear();
}

}  // namespace espalier
