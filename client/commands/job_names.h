// The jobs of a coordinator by name.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/service/connection.h"

namespace espalier {

// All jobs, newest first, without what lists leave out. `limit` is for each page.
absl::StatusOr<std::vector<v1::Job>> AllJobs(Connection& connection, absl::Duration limit);

// The status with the nearest job that there is, when it says that `name` is not there.
absl::Status WithNearestJob(Connection& connection, const std::string& name, const absl::Status& status);

}  // namespace espalier
