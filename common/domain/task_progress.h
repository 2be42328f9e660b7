// How far a running task is and what its worker keeps: what the engine tells and Synchronize carries.
#pragma once

#include <cstdint>
#include <string>

#include "common/domain/task.h"

namespace espalier {

struct TaskProgress {
  std::string step;  // "load", "calibrate", "eliminate", "assemble", "train", "score", "export"
  int64_t done = 0;  // tokens (train, score, calibrate) or columns (eliminate) of `total`
  int64_t total = 0;
  double tokens_per_second = 0;
  double loss = 0;
};

enum class StateLocation { kDevice, kHost, kDisk };
struct RetainedState {
  StateKey key;
  int64_t bytes = 0;
  StateLocation location = StateLocation::kHost;
};

}  // namespace espalier
