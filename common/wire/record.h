// Domain values as bytes for the store, without a protobuf header in sight. Serialized records of older versions stay
// readable (protobuf's rules); Parse is kDataLoss for bytes that are no record.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/domain/job.h"
#include "common/domain/job_inputs.h"
#include "common/domain/task.h"

namespace espalier::wire {

std::string Serialize(const JobSpec& spec);
std::string Serialize(const JobInputs& inputs);
std::string Serialize(const TaskOutcome& outcome);
std::string Serialize(const Task& task);

absl::StatusOr<JobSpec> ParseJobSpec(const std::string& bytes);
absl::StatusOr<JobInputs> ParseJobInputs(const std::string& bytes);
absl::StatusOr<TaskOutcome> ParseTaskOutcome(const std::string& bytes);
absl::StatusOr<Task> ParseTask(const std::string& bytes);

}  // namespace espalier::wire
