// Job files: JobSpec as text-format or JSON protobuf. Unknown fields, wrong types and repeated fields are refused with
// the line and column.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "espalier/v1/job.pb.h"

namespace espalier::wire {

// JSON when the first character that is no white space is '{', else text format. kInvalidArgument reads
// "NAME:LINE:COLUMN: what is wrong".
absl::StatusOr<v1::JobSpec> ParseJobFile(const std::string& text, const std::string& name);

// Reads and parses; at most 1 MiB.
absl::StatusOr<v1::JobSpec> ReadJobFile(const std::string& path);

// Text format, one field a line; ParseJobFile reads it back.
std::string FormatJobFile(const v1::JobSpec& spec);

}  // namespace espalier::wire
