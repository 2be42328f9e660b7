// absl::Status as grpc::Status: the codes are the same numbers. Trouble of the coordinator itself loses its paths, and
// a field that is named gets its details (error_details.h).
#pragma once

#include <grpcpp/support/status.h>

#include "absl/status/status.h"

namespace espalier {

grpc::Status ToGrpc(const absl::Status& status);

// What a caller hears when its call found the queue full.
absl::Status TooManyCalls();

}  // namespace espalier
