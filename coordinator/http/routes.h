// What the coordinator's HTTP port answers: /healthz, /readyz, /metrics and the pages.
#pragma once

#include "common/base/clock.h"
#include "common/http/http_server.h"
#include "coordinator/core/coordinator.h"
#include "coordinator/http/metrics.h"
#include "coordinator/http/state_disk.h"

namespace espalier {

// All outlive the router's users; `disk` may be null.
HttpRouter MakeRouter(Coordinator* coordinator, Metrics* metrics, const Clock* clock, const StateDisk* disk);

}  // namespace espalier
