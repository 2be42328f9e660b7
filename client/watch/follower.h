// The live screen of one job or of all, kept up to date until the job has ended or the user leaves.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/service/connection.h"

namespace espalier {

// On the terminal behind `stream`. The job's last state; statuses as FollowJob.
absl::StatusOr<v1::Job> WatchOnScreen(Connection& connection, const std::string& name, std::FILE* stream);

// All jobs until none of them is active: as a screen on a terminal, else a line for each change.
absl::Status WatchAll(Connection& connection, std::FILE* stream);

}  // namespace espalier
