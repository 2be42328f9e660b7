// The JSON side of job_file.h. protobuf's own JSON reader does not say where an error is, so names are checked against the
// schema first, while the lines are counted.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "espalier/v1/job.pb.h"

namespace espalier::wire {

absl::StatusOr<v1::JobSpec> ParseJsonJobFile(const std::string& text, const std::string& name);

}  // namespace espalier::wire
