// The coordinator's flags about who may reach it and what jobs may name, and what is made of them.
#pragma once

#include <CLI/CLI.hpp>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/http/http_server.h"
#include "coordinator/access_log.h"
#include "coordinator/rpc/server.h"

namespace espalier {

struct SecurityOptions {
  TlsFiles tls;  // ca: whose certificates callers must show
  int tls_reload_seconds = 10;
  std::string token_file;  // one token with every role, made if missing
  std::string tokens;      // tokens with roles
  std::vector<std::string> allow_roots;
  bool is_insecure = false;
  bool has_no_reflection = false;
};

void AddSecurityFlags(CLI::App& app, SecurityOptions& options);

// Who is let in at both ports. Must outlive the servers.
class Security {
 public:
  // kPermissionDenied when an address can be reached from other machines without protection; errors of the files
  // otherwise. `http` is null without that port. Artifacts always count as a folder that jobs may name, because uploads
  // lie there.
  static absl::StatusOr<std::unique_ptr<Security>> Open(const SecurityOptions& options, const ListenAddress& listen,
                                                        const ListenAddress* http, const std::string& state_folder,
                                                        const std::string& artifact_folder, const Clock* clock);

  void ApplyTo(ServerOptions* options);
  void ApplyTo(HttpOptions* options);

 private:
  Security() = default;
  absl::Status OpenTokens(const SecurityOptions& options, const ListenAddress& listen, const std::string& state_folder,
                          const Clock* clock);

  TlsFiles tls_;
  int tls_reload_seconds_ = 10;
  bool has_reflection_ = true;
  bool guards_http_ = false;
  PathRoots roots_;
  std::unique_ptr<TokenAuthority> authority_;
  AccessLog access_log_;
};

}  // namespace espalier
