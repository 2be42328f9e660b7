// Tasks and their outcomes between domain and protobuf.
#pragma once

#include "absl/status/statusor.h"
#include "common/domain/task.h"
#include "espalier/v1/task.pb.h"

namespace espalier::wire {

v1::Task ToProto(const Task& task);
v1::TaskOutcome ToProto(const TaskOutcome& outcome);
v1::StateKey ToProto(const StateKey& key);
v1::WindowKey ToProto(const WindowKey& key);

absl::StatusOr<Task> FromProto(const v1::Task& proto);
// Checks numbers: no NaN, no infinity, no negative counts.
absl::StatusOr<TaskOutcome> FromProto(const v1::TaskOutcome& proto);
absl::StatusOr<StateKey> FromProto(const v1::StateKey& proto);
absl::StatusOr<WindowKey> FromProto(const v1::WindowKey& proto);

}  // namespace espalier::wire
