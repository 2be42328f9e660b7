// The result folder of a finished job.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "client/result/run_report.h"
#include "client/service/connection.h"

namespace espalier {

// Whether `output` can be written at all, before hours are spent: it is a folder or its nearest existing parent is one
// that may be written. kInvalidArgument or kPermissionDenied with the path.
absl::Status CheckOutput(const std::string& output);

// Writes model/ (the export, verified by digest), result.json and report.html, each atomically. When it fails nothing
// new is left behind.
absl::StatusOr<RunReport> WriteResults(Connection& connection, const v1::Job& job, const std::string& output);

}  // namespace espalier
