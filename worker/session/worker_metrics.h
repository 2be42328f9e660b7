// Every metric of a worker: name, help and labels in one place. Counters follow what the session tells; gauges are read when
// somebody asks.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/time/time.h"
#include "common/domain/synchronize.h"
#include "worker/engine/engine.h"
#include "worker/session/worker_session.h"

namespace espalier {

class WorkerMetrics : public SessionObserver {
 public:
  struct Parts {
    const Engine* engine = nullptr;  // outlives the metrics
    WorkerDescription description;
    std::string artifact_folder;
    std::function<absl::Time()> now;  // wall clock, for timestamps
  };
  static std::unique_ptr<WorkerMetrics> Make(Parts parts);

  // The text exposition format. Thread-safe.
  virtual std::string Text() = 0;
  // Whether the last call to the coordinator was answered.
  virtual bool is_connected() const = 0;
};

}  // namespace espalier
