// What the coordinator's core is given at its start.
#pragma once

#include "absl/time/time.h"
#include "coordinator/core/limits.h"
#include "coordinator/schedule/matcher.h"
#include "coordinator/schedule/quarantine.h"

namespace espalier {

struct CoordinatorOptions {
  // A worker that has not called for so long loses its leases.
  absl::Duration lease_duration = absl::Seconds(60);
  // Calls of idle workers wait no longer than this, and no longer than a third of the lease.
  absl::Duration poll_time = absl::Seconds(30);
  // A task whose worker calls, but whose progress has stood still for so long, is taken away and counts as failed there.
  absl::Duration stuck_after = absl::Hours(1);
  // Somebody collects artifacts: what deleted jobs referred to is noted for it.
  bool collects_artifacts = false;
  // Workers silent for so long are forgotten.
  absl::Duration worker_memory = absl::Minutes(15);
  MatcherOptions matcher;
  QuarantineOptions quarantine;
  Limits limits;
};

}  // namespace espalier
