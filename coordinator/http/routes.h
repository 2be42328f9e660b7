// What the coordinator's HTTP port answers: /healthz, /readyz and /metrics. Pages join here.
#pragma once

#include "common/base/clock.h"
#include "coordinator/core/coordinator.h"
#include "common/http/http_server.h"
#include "coordinator/http/metrics.h"

namespace espalier {

// All outlive the router's users.
HttpRouter MakeRouter(Coordinator* coordinator, Metrics* metrics, const Clock* clock);

}  // namespace espalier
