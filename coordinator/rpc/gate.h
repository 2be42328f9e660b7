// Who may call: everybody who can open a Unix socket (its mode is 0600), holders of a token with the method's role
// elsewhere.
#pragma once

#include <grpcpp/server_context.h>

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "common/security/role.h"
#include "common/security/token_authority.h"

namespace espalier {

// What passed and what did not, for the log. Called on gRPC's threads; must not block.
class GateObserver {
 public:
  virtual ~GateObserver() = default;
  // `who` is the name of the token, empty without one; never the token. `method`: "CreateJob".
  virtual void OnAllowed(const char* /*method*/, Role /*role*/, const std::string& /*who*/, const std::string& /*peer*/) {}
  virtual void OnRefused(const char* /*method*/, const absl::Status& /*why*/, const std::string& /*peer*/) {}
};

class Gate {
 public:
  // Without an authority everybody passes. Both outlive the gate; `observer` may be null.
  explicit Gate(TokenAuthority* authority, GateObserver* observer = nullptr)
      : authority_(authority), observer_(observer) {}

  // `service` and `method`: "espalier.v1.SearchService", "CreateJob". kUnauthenticated unless the call carries
  // "authorization: Bearer TOKEN" with a token that is known, kPermissionDenied when its holder has not the role that
  // RoleFor names, or RoleFor names none.
  absl::Status Check(const grpc::ServerContextBase& context, const char* service, const char* method) const;

 private:
  absl::StatusOr<Identity> CheckToken(const grpc::ServerContextBase& context, Role role) const;

  TokenAuthority* authority_;
  GateObserver* observer_;
};

}  // namespace espalier
