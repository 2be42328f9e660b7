#pragma once

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "coordinator/core/views.h"

namespace espalier {

inline constexpr int kWorkersOnPage = 100;

struct FleetQuery {
  std::string worker;  // only this one; empty: all
  int page = 0;
};

// `workers`: all that the coordinator knows.
std::string FleetPage(const std::vector<WorkerView>& workers, const FleetQuery& query, absl::Time now);

}  // namespace espalier
