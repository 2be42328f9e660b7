// The worker as a member of a fleet: an engine behind a session, until a signal or a refusal ends it.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/engine/engine.h"

namespace espalier {

struct ServeOptions {
  std::string coordinator;  // HOST:PORT or unix:PATH
  std::string token_file;
  std::string tls_ca;  // these four: see ChannelSecurity
  std::string tls_certificate;
  std::string tls_key;
  std::string tls_server_name;
  std::vector<std::string> allow_roots;  // empty: tasks may name any file
  std::string worker_id;  // empty: a new UUID
  double drain_seconds = 30;
  double disk_patience_seconds = 600;  // how long a task that met a full disk waits for room
  std::string metrics_listen;          // HOST:PORT of /metrics; empty: none
  std::string metrics_tokens;          // file of tokens with roles, for who reads it
  bool is_insecure = false;            // metrics_listen may be reached from other machines without TLS and tokens
  std::string log_format = "text";  // or "json"
  std::string log_level = "info";
  EngineOptions engine;
};

using EngineFactory = std::function<absl::StatusOr<std::unique_ptr<Engine>>(const EngineOptions&)>;

// Blocks. SIGTERM or SIGINT drains, a second one (a second later or more) hands back at once, a third ends the process. kFailedPrecondition: the
// coordinator refused this worker, or the device is not there.
absl::Status Serve(const ServeOptions& options, const EngineFactory& make_engine);

}  // namespace espalier
