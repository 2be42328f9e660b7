// A worker's own HTTP port: /metrics for a collector, /healthz and /readyz for probes.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "common/http/http_server.h"
#include "common/security/token_authority.h"
#include "worker/session/serve.h"
#include "worker/session/worker_metrics.h"

namespace espalier {

class MetricsServer {
 public:
  // nullptr without --metrics-listen. kPermissionDenied when the address can be reached from other machines and has neither
  // TLS and tokens nor --insecure; kFailedPrecondition when it is in use; errors of the files otherwise. Both outlive the
  // server.
  static absl::StatusOr<std::unique_ptr<MetricsServer>> Start(const ServeOptions& options, WorkerMetrics* metrics,
                                                              const Clock* clock);
  const std::string& address() const { return address_; }  // "127.0.0.1:7091", with the port that was chosen

 private:
  std::unique_ptr<TokenAuthority> authority_;
  std::string address_;
  std::unique_ptr<HttpServer> http_;
};

}  // namespace espalier
