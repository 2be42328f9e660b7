#include "coordinator/collector_thread.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "common/base/strings.h"
#include "common/security/redact.h"

namespace espalier {

void AddCollectorFlags(CLI::App& app, CollectorFlags& flags) {
  app.add_option("--artifact-grace-seconds", flags.grace_seconds,
                 "Artifacts of deleted jobs are removed after so long (and two leases at least)")
      ->check(CLI::Range(0.1, 1e8))
      ->capture_default_str();
  app.add_option("--stray-artifact-hours", flags.stray_hours,
                 "Artifacts to which no job was ever seen to refer are removed at this age")
      ->check(CLI::Range(0.0001, 1e6))
      ->capture_default_str();
  app.add_flag("--keep-artifacts", flags.keeps_all, "Never remove an artifact");
}

CollectorOptions CollectorOptionsFor(const CollectorFlags& flags, absl::Duration lease_duration) {
  CollectorOptions options;
  options.grace = std::max(absl::Seconds(flags.grace_seconds), 2 * lease_duration);
  options.stray_age = std::max(absl::Hours(flags.stray_hours), options.grace);
  return options;
}

CollectorThread::CollectorThread(std::unique_ptr<ArtifactCollector> collector, CollectorOptions options, const Clock* clock)
    : collector_(std::move(collector)),
      interval_(std::clamp(options.grace / 4, absl::Milliseconds(100), absl::Minutes(5))),
      clock_(clock),
      thread_([this] { Run(); }) {}

CollectorThread::~CollectorThread() {
  {
    const std::lock_guard lock(mutex_);
    is_ending_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

void CollectorThread::Run() {
  std::unique_lock lock(mutex_);
  while (!wake_.wait_for(lock, absl::ToChronoMilliseconds(interval_), [this] { return is_ending_; })) {
    lock.unlock();
    RunOnce();
    lock.lock();
  }
}

void CollectorThread::RunOnce() {
  const absl::StatusOr<CollectorReport> report = collector_->Run(clock_->Now());
  // What stands in the way is said once, not every few minutes.
  const std::string complaint = report.ok() ? report->reason : WithoutPaths(ToStd(report.status().message()));
  if (complaint != std::exchange(last_complaint_, complaint) && !complaint.empty()) {
    spdlog::warn("no artifact is collected: {}", complaint);
  }
  if (report.ok() && report->num_removed > 0) {
    spdlog::info("removed {} artifacts ({} bytes) to which no job refers; {} are left ({} bytes)", report->num_removed,
                 report->removed_bytes, report->num_left, report->left_bytes);
  }
}

}  // namespace espalier
