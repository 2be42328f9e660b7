// The worker protocol between domain and protobuf; for the worker's session and the coordinator's service.
#pragma once

#include "absl/status/statusor.h"
#include "common/domain/synchronize.h"
#include "espalier/v1/worker_service.pb.h"

namespace espalier::wire {

v1::SynchronizeRequest ToProto(const SynchronizeRequest& request);
v1::SynchronizeResponse ToProto(const SynchronizeResponse& response);
v1::LeaseToken ToProto(const LeaseToken& token);
v1::TaskProgress ToProto(const TaskProgress& progress);
v1::WorkerDescription ToProto(const WorkerDescription& description);

// kInvalidArgument names the field. A finished attempt whose outcome cannot be read becomes a TaskFailure (kInternal), so
// that one bad report does not silence a worker. The description's protocol version is not judged here.
absl::StatusOr<SynchronizeRequest> FromProto(const v1::SynchronizeRequest& proto);
absl::StatusOr<SynchronizeResponse> FromProto(const v1::SynchronizeResponse& proto);
absl::StatusOr<LeaseToken> FromProto(const v1::LeaseToken& proto);

}  // namespace espalier::wire
