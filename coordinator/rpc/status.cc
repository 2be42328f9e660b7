#include "coordinator/rpc/status.h"

#include <string>

#include "common/security/redact.h"
#include "coordinator/rpc/error_details.h"

namespace espalier {

namespace {

// Trouble with the coordinator's own files: where they lie is not the caller's matter.
bool IsOwnTrouble(absl::StatusCode code) {
  return code == absl::StatusCode::kInternal || code == absl::StatusCode::kUnavailable ||
         code == absl::StatusCode::kResourceExhausted || code == absl::StatusCode::kDataLoss ||
         code == absl::StatusCode::kUnknown;
}

}  // namespace

grpc::Status ToGrpc(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  const std::string message(status.message().data(), status.message().size());
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()),
                      IsOwnTrouble(status.code()) ? WithoutPaths(message) : message, ErrorDetails(status));
}

absl::Status TooManyCalls() {
  return absl::ResourceExhaustedError("too many calls wait for the coordinator; try again in some seconds");
}

}  // namespace espalier
