// Masks, ladders and model configurations between domain and protobuf.
#pragma once

#include "absl/status/statusor.h"
#include "common/domain/job.h"
#include "common/domain/job_inputs.h"
#include "common/domain/ladder.h"
#include "common/domain/mask.h"
#include "common/domain/model_config.h"
#include "espalier/v1/mask.pb.h"

namespace espalier::wire {

v1::Mask ToProto(const Mask& mask);
v1::Ladder ToProto(const Ladder& ladder);
v1::GivenMask ToProto(const GivenMask& mask);
v1::ModelConfig ToProto(const ModelConfig& config);
v1::TimeEstimate ToProto(const TimeEstimate& estimate);
v1::JobInputs ToProto(const JobInputs& inputs);

absl::StatusOr<Mask> FromProto(const v1::Mask& proto);
// Checks that levels rise from 0 to the unit's size.
absl::StatusOr<Ladder> FromProto(const v1::Ladder& proto);
absl::StatusOr<GivenMask> FromProto(const v1::GivenMask& proto);
absl::StatusOr<ModelConfig> FromProto(const v1::ModelConfig& proto);
TimeEstimate FromProto(const v1::TimeEstimate& proto);
absl::StatusOr<JobInputs> FromProto(const v1::JobInputs& proto);

}  // namespace espalier::wire
