// The gRPC server: both services, health and reflection, on one address.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/artifacts/artifact_store.h"
#include "common/base/clock.h"
#include "common/security/listen_address.h"
#include "common/security/path_roots.h"
#include "common/security/tls_files.h"
#include "coordinator/core/call_observer.h"
#include "coordinator/core/coordinator.h"
#include "coordinator/rpc/gate.h"
#include "coordinator/store/backup_source.h"

namespace espalier {

struct ServerOptions {
  ListenAddress address;
  TokenAuthority* authority = nullptr;   // null: whoever can connect may call
  GateObserver* gate_observer = nullptr;  // may be null
  TlsFiles tls;                           // empty: plain text. With a `ca`, callers need a certificate of it
  int tls_reload_seconds = 10;            // how soon replaced files count for new connections
  bool has_reflection = true;
  PathRoots roots;
  std::string artifact_folder;
  std::string upload_folder;
  Limits limits;
  CallObserver* call_observer = nullptr;  // may be null
  BackupSource* backup = nullptr;  // null: the store is no file
  std::string version;             // told to callers; empty: not told
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
