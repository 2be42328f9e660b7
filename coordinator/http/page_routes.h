// Pages on the HTTP port: which address shows what.
//   /, /jobs?page=N                          all jobs
//   /jobs/JOB?generation=N                   one job; N from 1, else the newest
//   /jobs/JOB/candidates/CANDIDATE           one candidate
//   /workers?page=N, /workers?worker=ID      the fleet, one worker
//   /compare?a=JOB[/CANDIDATE]&b=...         two of them beside each other
#pragma once

#include "common/base/clock.h"
#include "coordinator/core/coordinator.h"
#include "common/http/http_server.h"

namespace espalier {

// Both outlive the router's users.
void AddPages(HttpRouter* router, Coordinator* coordinator, const Clock* clock);

}  // namespace espalier
