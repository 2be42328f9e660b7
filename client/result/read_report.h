// result.json back into values.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "client/result/run_report.h"

namespace espalier {

// The reverse of ToJson, except for units' numbers of levels, which the file does not hold. kInvalidArgument names what is
// missing or of another kind.
absl::StatusOr<RunReport> ReportFromJson(const nlohmann::ordered_json& json);

// FOLDER/result.json. kNotFound when there is none.
absl::StatusOr<RunReport> ReadReport(const std::string& folder);

}  // namespace espalier
