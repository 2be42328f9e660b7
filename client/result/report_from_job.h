// The report of a finished job as the coordinator tells it.
#pragma once

#include "absl/status/statusor.h"
#include "client/result/run_report.h"
#include "espalier/v1/search_service.pb.h"

namespace espalier {

// kInternal when the job has no result or its mask does not fit its ladder.
absl::StatusOr<RunReport> ReportFromJob(const v1::Job& job);

// What it was expected to take, and has taken so far; nothing expected before the coordinator has read the job's files.
JobCost CostFromJob(const v1::Job& job);

// Any message as JSON with the proto's field names, zeros included.
nlohmann::ordered_json MessageJson(const google::protobuf::Message& message);

}  // namespace espalier
