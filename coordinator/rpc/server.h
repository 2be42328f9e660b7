// The gRPC server: both services, health and reflection, on one address.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "common/artifacts/artifact_store.h"
#include "common/base/clock.h"
#include "coordinator/core/coordinator.h"
#include "coordinator/rpc/address.h"

namespace espalier {

struct ServerOptions {
  ListenAddress address;
  std::optional<std::string> token;  // none: whoever can connect may call
  std::string artifact_folder;
  std::string upload_folder;
  int64_t max_upload_bytes = int64_t{4} << 30;
};

class RpcServer {
 public:
  // Listens; kFailedPrecondition when the address is in use.
  static absl::StatusOr<std::unique_ptr<RpcServer>> Start(Coordinator* coordinator, ArtifactStore* artifacts,
                                                          const Clock* clock, const ServerOptions& options);
  virtual ~RpcServer() = default;

  virtual const ListenAddress& address() const = 0;  // with the port that was chosen

  // Says NOT_SERVING, answers waiting calls and ends the rest after `grace`.
  virtual void Stop(absl::Duration grace) = 0;
};

}  // namespace espalier
