#include "worker/session/disk_patience.h"

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <mutex>

#include "absl/strings/match.h"

namespace espalier {
namespace {

// False when `stop` came first.
bool Wait(std::stop_token stop, absl::Duration duration) {
  std::mutex mutex;
  std::condition_variable_any never;
  std::unique_lock lock(mutex);
  never.wait_for(lock, stop, absl::ToChronoNanoseconds(duration), [] { return false; });
  return !stop.stop_requested();
}

}  // namespace

bool IsFullDisk(const absl::Status& status) {
  return absl::IsResourceExhausted(status) && (absl::StrContains(status.message(), std::strerror(ENOSPC)) ||
                                               absl::StrContains(status.message(), std::strerror(EDQUOT)));
}

absl::StatusOr<TaskOutcome> RunPatiently(Engine& engine, const Task& task, const ProgressFunction& progress,
                                         std::stop_token stop, const DiskPatience& patience,
                                         const std::function<void(const absl::Status&, absl::Duration)>& on_full) {
  absl::Duration waited;
  absl::Duration wait = patience.first_wait;
  while (true) {
    absl::StatusOr<TaskOutcome> outcome = engine.Run(task, progress, stop);
    if (!IsFullDisk(outcome.status()) || waited >= patience.limit) return outcome;
    on_full(outcome.status(), wait);
    if (!Wait(stop, wait)) return absl::CancelledError("stopped while it waited for room on the disk");
    waited += wait;
    wait = std::min(2 * wait, patience.longest_wait);
  }
}

}  // namespace espalier
