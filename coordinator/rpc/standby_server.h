// What a coordinator that stands by answers: UNAVAILABLE to every call, with who leads; health says NOT_SERVING.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "coordinator/rpc/server.h"

namespace espalier {

// Trailing metadata of a refused call: the leader's address, when one is known.
inline constexpr char kLeaderMetadata[] = "espalier-leader";

class StandbyServer {
 public:
  // Listens on the address of `options`; kFailedPrecondition when it is in use.
  static absl::StatusOr<std::unique_ptr<StandbyServer>> Start(const ServerOptions& options);
  virtual ~StandbyServer() = default;  // the address is free then

  virtual const ListenAddress& address() const = 0;  // with the port that was chosen

  // From any thread. Empty: nobody leads.
  virtual void SetLeader(const std::string& address) = 0;
  virtual std::string leader() const = 0;
};

}  // namespace espalier
