// Trainers of candidates whose task is over, with their captured graphs: a mask that survives a stage in RESTART mode trains
// from its assembled weights again in the next one, and only needs those copied in. Capturing anew is what would cost.
#pragma once

#include <cstdint>
#include <list>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "common/domain/task.h"
#include "worker/engine/state_store.h"

namespace espalier {

// Thread-safe. What it holds can be dropped at any time.
class WarmTrainers {
 public:
  // A generation's candidates are all that can come back; graphs of earlier ones would only gather.
  static constexpr size_t kMost = 20;

  explicit WarmTrainers(int64_t device_bytes) : device_bytes_(device_bytes) {}

  // Everything that the trainer's buffers and graph depend on beside the weights' values.
  static std::string KeyOf(const EvaluateTask& task);

  // Empty when none is held for this task and dense model.
  std::optional<TrainedCandidate> Take(const EvaluateTask& task, const LanguageModel* dense);
  // At most kMost are held. Those kept longest ago make room; one that is larger than all the room goes.
  void Keep(const EvaluateTask& task, TrainedCandidate candidate);
  void Clear();
  int64_t bytes() const;
  bool DropOldest();  // the one kept longest ago; false when none is held

 private:
  struct Entry {
    std::string key;
    int64_t bytes = 0;
    TrainedCandidate candidate;
  };

  const int64_t device_bytes_;
  mutable std::mutex mutex_;
  std::list<Entry> entries_;  // latest first
  int64_t held_bytes_ = 0;
};

}  // namespace espalier
