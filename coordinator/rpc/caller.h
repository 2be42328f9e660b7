// Whose call it is, for limits: the token (by a digest of it), or without one the host.
#pragma once

#include <grpcpp/server_context.h>

#include <string>

namespace espalier {

// Never shown to anybody.
std::string CallerOf(const grpc::ServerContextBase& context);

// "ipv4:10.0.0.7:51234" -> "ipv4:10.0.0.7"; "unix:..." -> "unix:".
std::string HostOfPeer(const std::string& peer);

}  // namespace espalier
