// Jobs between domain and protobuf. Total: every value of one side becomes a value of the other or an error that names
// the field and what was found.
#pragma once

#include "absl/status/statusor.h"
#include "common/domain/job.h"
#include "common/domain/job_inputs.h"
#include "common/domain/measurement.h"
#include "common/domain/task.h"
#include "espalier/v1/job.pb.h"

namespace espalier::wire {

// `base` with every field of `proto` that is set put over it. kInvalidArgument: "spec.target.share: 1.5 is not ...".
absl::StatusOr<JobSpec> Overlay(const JobSpec& base, const v1::JobSpec& proto);

// What a user sent: the preset that it names (else BALANCED) with the message's fields put over it.
absl::StatusOr<JobSpec> FromUser(const v1::JobSpec& proto);

// Every field set, also zeros: Overlay(JobSpec{}, ToProto(spec)) == spec.
v1::JobSpec ToProto(const JobSpec& spec);

// Sets in `target` whatever is set in `source`, message by message; lists that are not empty replace. For a job file
// (target) and flags (source).
void MergeOver(const v1::JobSpec& source, v1::JobSpec* target);

v1::Measurement ToProto(const Measurement& measurement);
absl::StatusOr<Measurement> FromProto(const v1::Measurement& proto);

v1::TrainSettings ToProto(const TrainSettings& settings);
v1::Recovery ToProto(const Recovery& recovery);
absl::StatusOr<TrainSettings> Overlay(const TrainSettings& base, const v1::TrainSettings& proto);
absl::StatusOr<Recovery> Overlay(const Recovery& base, const v1::Recovery& proto);

v1::ExportedFile ToProto(const ExportedFile& file);
v1::KeptUnit ToProto(const KeptUnit& unit);

}  // namespace espalier::wire
