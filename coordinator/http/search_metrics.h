// The gauges of running searches. Their series carry the search's id, so they exist only while it runs.
#pragma once

#include <prometheus/registry.h>

#include "coordinator/core/views.h"

namespace espalier {

// Into a registry that is made anew for each text.
void AddSearchMetrics(const CoordinatorSnapshot& snapshot, prometheus::Registry& registry);

}  // namespace espalier
