#include "coordinator/rpc/caller.h"

#include "common/base/sha256.h"

namespace espalier {

std::string HostOfPeer(const std::string& peer) {
  if (peer.rfind("unix:", 0) == 0) return "unix:";
  const size_t port = peer.rfind(':');
  return port == std::string::npos ? peer : peer.substr(0, port);
}

std::string CallerOf(const grpc::ServerContextBase& context) {
  const auto& metadata = context.client_metadata();
  const auto token = metadata.find("authorization");
  if (token == metadata.end()) return HostOfPeer(context.peer());
  return "token:" + Sha256Hex(std::string(token->second.data(), token->second.size()));
}

}  // namespace espalier
