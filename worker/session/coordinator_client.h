// How the session reaches the coordinator.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/domain/synchronize.h"
#include "common/security/tls_files.h"

namespace espalier {

class CoordinatorClient {
 public:
  virtual ~CoordinatorClient() = default;

  // Blocks until answered, at most for `limit` (kDeadlineExceeded). kFailedPrecondition, kPermissionDenied and
  // kUnauthenticated mean that this worker is refused for good; all other errors are tried again.
  virtual absl::StatusOr<SynchronizeResponse> Synchronize(const SynchronizeRequest& request, absl::Duration limit) = 0;

  // Ends a call that is under way, or else the next one, with kCancelled; from any thread.
  virtual void CancelCall() = 0;
};

struct CoordinatorAddress {
  std::string target;      // HOST:PORT or unix:PATH; several with commas: the one of them that leads
  std::string token_file;  // bearer token; empty: none
  TlsFiles tls;            // empty: plain text
  std::string tls_server_name;
  bool has_standbys = false;  // a coordinator that does not answer is left soon
};

// Does not connect yet. kInvalidArgument or kPermissionDenied when the token file or a
// certificate cannot be used.
absl::StatusOr<std::unique_ptr<CoordinatorClient>> MakeGrpcCoordinatorClient(const CoordinatorAddress& address);

}  // namespace espalier
