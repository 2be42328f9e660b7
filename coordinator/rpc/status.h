// absl::Status as grpc::Status: the codes are the same numbers.
#pragma once

#include <grpcpp/support/status.h>

#include "absl/status/status.h"

namespace espalier {

grpc::Status ToGrpc(const absl::Status& status);

}  // namespace espalier
