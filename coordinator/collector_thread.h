// Runs the collector of artifacts from time to time, beside everything else.
#pragma once

#include <CLI/CLI.hpp>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "absl/time/time.h"
#include "common/base/clock.h"
#include "coordinator/core/artifact_collector.h"

namespace espalier {

struct CollectorFlags {
  double grace_seconds = 900;
  double stray_hours = 24;
  bool keeps_all = false;
};

void AddCollectorFlags(CLI::App& app, CollectorFlags& flags);
// A worker's report may come as late as its lease allows, so no artifact goes within two leases.
CollectorOptions CollectorOptionsFor(const CollectorFlags& flags, absl::Duration lease_duration);

class CollectorThread {
 public:
  CollectorThread(std::unique_ptr<ArtifactCollector> collector, CollectorOptions options, const Clock* clock);
  ~CollectorThread();  // waits for the round under way
  CollectorThread(const CollectorThread&) = delete;
  CollectorThread& operator=(const CollectorThread&) = delete;

 private:
  void Run();
  void RunOnce();

  std::unique_ptr<ArtifactCollector> collector_;
  const absl::Duration interval_;
  const Clock* const clock_;
  std::string last_complaint_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool is_ending_ = false;  // guarded by mutex_
  std::thread thread_;
};

}  // namespace espalier
