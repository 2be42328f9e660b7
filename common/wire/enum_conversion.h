// Enumerations between domain and protobuf. FromProto of UNSPECIFIED and of numbers that this version does not know is
// kInvalidArgument.
#pragma once

#include "absl/status/statusor.h"
#include "common/domain/job.h"
#include "common/domain/synchronize.h"
#include "common/domain/windows.h"
#include "espalier/v1/job.pb.h"
#include "espalier/v1/mask.pb.h"
#include "espalier/v1/task.pb.h"
#include "espalier/v1/worker_service.pb.h"

namespace espalier::wire {

v1::Preset ToProto(Preset value);
v1::FirstParent ToProto(FirstParent value);
v1::TrainMode ToProto(TrainMode value);
v1::ContinueState ToProto(ContinueState value);
v1::Loss ToProto(Loss value);
v1::DeviceKind ToProto(DeviceKind value);
v1::Runtime ToProto(Runtime value);
v1::CostKind ToProto(CostKind value);
v1::HeadGranularity ToProto(HeadGranularity value);
v1::UnitKind ToProto(UnitKind value);
v1::Pool ToProto(Pool value);
v1::NumberFormat ToProto(NumberFormat value);
v1::RopeConfig::Type ToProto(RopeType value);
v1::ModelConfig::Family ToProto(Family value);
v1::RetainedState::Location ToProto(StateLocation value);
v1::SynchronizeRequest::Departure ToProto(Departure value);
v1::Verdict::Decision ToProto(Decision value);

absl::StatusOr<Preset> FromProto(v1::Preset value);
absl::StatusOr<FirstParent> FromProto(v1::FirstParent value);
absl::StatusOr<TrainMode> FromProto(v1::TrainMode value);
absl::StatusOr<ContinueState> FromProto(v1::ContinueState value);
absl::StatusOr<Loss> FromProto(v1::Loss value);
absl::StatusOr<DeviceKind> FromProto(v1::DeviceKind value);
absl::StatusOr<Runtime> FromProto(v1::Runtime value);
absl::StatusOr<CostKind> FromProto(v1::CostKind value);
absl::StatusOr<HeadGranularity> FromProto(v1::HeadGranularity value);
absl::StatusOr<UnitKind> FromProto(v1::UnitKind value);
absl::StatusOr<Pool> FromProto(v1::Pool value);
absl::StatusOr<NumberFormat> FromProto(v1::NumberFormat value);
absl::StatusOr<RopeType> FromProto(v1::RopeConfig::Type value);
absl::StatusOr<Family> FromProto(v1::ModelConfig::Family value);
absl::StatusOr<StateLocation> FromProto(v1::RetainedState::Location value);
absl::StatusOr<Departure> FromProto(v1::SynchronizeRequest::Departure value);  // UNSPECIFIED: kNone
absl::StatusOr<Decision> FromProto(v1::Verdict::Decision value);

}  // namespace espalier::wire
