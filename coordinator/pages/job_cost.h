// What a job was expected to take, beside what it took; and what is left of it.
#pragma once

#include <optional>

#include "absl/time/time.h"
#include "common/picture/markup.h"
#include "coordinator/core/views.h"

namespace espalier {

struct WorkLeft {
  double share_done = 0;  // of the planned work, 0 to 1
  int64_t tokens = 0;     // train and recovery tokens, at most
  // At the job's own pace once a fiftieth is done, else by the first estimate; nullopt when neither says anything.
  std::optional<double> device_seconds;
  std::optional<double> seconds;
  bool is_own_pace = false;
};

// Of a job that has not ended.
WorkLeft WorkLeftOf(const JobView& job);

// A table: expected, taken.
Html CostSection(const JobView& job, absl::Time now);

}  // namespace espalier
