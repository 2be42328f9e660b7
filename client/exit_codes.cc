#include "client/exit_codes.h"

#include <cstdio>

#include "absl/strings/str_replace.h"

namespace espalier {

int ExitCodeOf(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return kExitOk;
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kOutOfRange:
    case absl::StatusCode::kDataLoss:
      return kExitBadInput;
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kUnauthenticated:
      return kExitUnreachable;
    case absl::StatusCode::kAborted:
      return kExitJobFailed;
    case absl::StatusCode::kResourceExhausted:
      return kExitResources;
    case absl::StatusCode::kCancelled:
      return kExitInterrupted;
    default:
      return kExitInternal;
  }
}

int Fail(const absl::Status& status) {
  const std::string line = absl::StrReplaceAll(status.message(), {{"\n", "; "}});
  std::fprintf(stderr, "espalier: %s\n", line.c_str());
  return ExitCodeOf(status);
}

}  // namespace espalier
