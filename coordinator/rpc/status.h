// absl::Status as grpc::Status: the codes are the same numbers. Trouble of the coordinator itself loses its paths.
#pragma once

#include <grpcpp/support/status.h>

#include "absl/status/status.h"

namespace espalier {

grpc::Status ToGrpc(const absl::Status& status);

}  // namespace espalier
