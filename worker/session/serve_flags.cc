#include "worker/session/serve_flags.h"

namespace espalier {

void AddSecurityFlags(CLI::App& app, ServeOptions& options) {
  app.add_option("--token-file", options.token_file, "file with the bearer token (mode 0600; read again when it changes)")
      ->envname("ESPALIER_TOKEN_FILE");
  app.add_option("--tls-ca", options.tls_ca, "PEM: speak TLS, and trust coordinators with a certificate from here")
      ->envname("ESPALIER_TLS_CA");
  app.add_option("--tls-cert", options.tls_certificate, "PEM chain to show to the coordinator (mutual TLS)")
      ->envname("ESPALIER_TLS_CERT");
  app.add_option("--tls-key", options.tls_key, "its private key (PEM, mode 0600)")->envname("ESPALIER_TLS_KEY");
  app.add_option("--tls-server-name", options.tls_server_name,
                 "the name in the coordinator's certificate, where the address has another")
      ->envname("ESPALIER_TLS_SERVER_NAME");
  app.add_option("--allow-root", options.allow_roots, "tasks may name files in this folder only (repeatable)")
      ->allow_extra_args(false);
}

void AddMetricsFlags(CLI::App& app, ServeOptions& options) {
  app.add_option("--metrics-listen", options.metrics_listen,
                 "HOST:PORT of /metrics, /healthz and /readyz (port 0: any); default none. Beyond this machine it wants "
                 "--tls-cert, --tls-key and --metrics-tokens")
      ->envname("ESPALIER_METRICS_LISTEN");
  app.add_option("--metrics-tokens", options.metrics_tokens,
                 "file of lines 'read TOKEN NAME' (mode 0600): /metrics wants one of them");
  app.add_flag("--insecure", options.is_insecure, "allow --metrics-listen beyond this machine without TLS and tokens");
}

}  // namespace espalier
