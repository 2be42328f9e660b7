// Every metric of the coordinator (those of running searches: search_metrics.h): names, help and labels. Counters and histograms follow what the core tells;
// gauges are read from its snapshot when somebody asks.
#pragma once

#include <memory>
#include <string>

#include "coordinator/core/call_observer.h"
#include "coordinator/core/coordinator.h"
#include "coordinator/core/observer.h"
#include "coordinator/http/state_disk.h"

namespace espalier {

class Metrics : public CoordinatorObserver, public CallObserver {
 public:
  static std::unique_ptr<Metrics> Make(const std::string& version);
  // What Text looks at besides the core. `disk` may be null and outlives the metrics; `certificate` is a PEM file or empty.
  virtual void Watch(const StateDisk* disk, const std::string& certificate) = 0;
  // An answer of the HTTP port.
  virtual void OnHttpAnswer(int status) = 0;
  // The text exposition format. `snapshot`: as the core is now.
  virtual std::string Text(const CoordinatorSnapshot& snapshot) = 0;
};

}  // namespace espalier
