// A full disk passes, when somebody makes room; a task that met one is not to blame.
#pragma once

#include <functional>
#include <stop_token>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "worker/engine/engine.h"

namespace espalier {

struct DiskPatience {
  absl::Duration limit = absl::Minutes(10);     // of waiting in all; then the task has failed
  absl::Duration first_wait = absl::Seconds(1);  // doubled from wait to wait
  absl::Duration longest_wait = absl::Seconds(30);
};

// The system's words for a full disk or quota in a kResourceExhausted; memory is exhausted in other words.
bool IsFullDisk(const absl::Status& status);

// Runs the task, and again after a wait for as long as it fails by a full disk; its lease is held meanwhile. `on_full` is
// told before each wait. A stop ends the wait with kCancelled.
absl::StatusOr<TaskOutcome> RunPatiently(Engine& engine, const Task& task, const ProgressFunction& progress,
                                         std::stop_token stop, const DiskPatience& patience,
                                         const std::function<void(const absl::Status&, absl::Duration)>& on_full);

}  // namespace espalier
