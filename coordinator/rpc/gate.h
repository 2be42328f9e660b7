// Who may call: everybody who can open a Unix socket (its mode is 0600), holders of the token on loopback TCP.
#pragma once

#include <grpcpp/server_context.h>

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace espalier {

class Gate {
 public:
  // Without a token everybody passes.
  explicit Gate(std::optional<std::string> token) : token_(std::move(token)) {}

  // kUnauthenticated unless the call carries "authorization: Bearer TOKEN". The comparison takes the same time whatever
  // differs, and neither token appears in the message.
  absl::Status Check(const grpc::ServerContextBase& context) const;

 private:
  std::optional<std::string> token_;
};

// Reads the token, or makes a random one and writes it with mode 0600 when there is no such file. kPermissionDenied when
// others than its owner may read the file.
absl::StatusOr<std::string> ReadOrMakeToken(const std::string& path);

}  // namespace espalier
