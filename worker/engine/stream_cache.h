// The dense model's final hidden states over the windows of training streams, for losses towards it: computed once for
// a draw and shared by all its candidates and stages. Rows are computed in blocks of fixed windows, whatever stage asks
// first, so that the values do not depend on the order of tasks.
#pragma once

#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/score/score.h"

namespace espalier {

// The first windows of a stream, in its order. Immutable.
struct StreamRows {
  std::vector<int64_t> windows;  // file indices, distinct
  std::unordered_map<int64_t, int64_t> row_of_window;
  TeacherStates states;  // tokens [W, L] and hidden states [W, L, D], row by row
};

// Thread-safe; the lock is held while rows are computed.
class StreamCache {
 public:
  explicit StreamCache(int64_t budget_bytes) : budget_bytes_(budget_bytes) {}

  // Runs the dense model over some windows.
  using Compute = std::function<absl::StatusOr<TeacherStates>(const std::vector<int64_t>& windows)>;

  // At least the given windows, which begin with those of every earlier call with this key or are the beginning of
  // them.
  absl::StatusOr<std::shared_ptr<const StreamRows>> Get(const std::string& key, const std::vector<int64_t>& windows,
                                                        const Compute& compute);
  void Clear();
  int64_t bytes() const;
  bool DropOldest();  // the stream used longest ago; false when only the latest one is left
  int64_t budget_bytes() const { return budget_bytes_; }

 private:
  struct Entry {
    std::string key;
    std::shared_ptr<const StreamRows> rows;
  };

  const int64_t budget_bytes_;
  mutable std::mutex mutex_;
  std::list<Entry> entries_;  // latest first
};

}  // namespace espalier
