// Every metric of the coordinator: name, help and labels in one place. Counters and histograms follow what the core tells;
// gauges are read from its snapshot when somebody asks.
#pragma once

#include <memory>
#include <string>

#include "coordinator/core/coordinator.h"
#include "coordinator/core/observer.h"

namespace espalier {

class Metrics : public CoordinatorObserver {
 public:
  static std::unique_ptr<Metrics> Make(const std::string& version);
  // The text exposition format. `snapshot`: as the core is now.
  virtual std::string Text(const CoordinatorSnapshot& snapshot) = 0;
};

}  // namespace espalier
