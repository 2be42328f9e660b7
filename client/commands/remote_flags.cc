#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "client/commands/commands.h"
#include "client/render/output.h"
#include "client/suggest/choices.h"

namespace espalier {

void AddFormatFlag(CLI::App& command, std::string& format) {
  command.add_option("--format", format, "what to print")
      ->check(OneOf({std::begin(kFormats), std::end(kFormats)}))
      ->capture_default_str();
}

void AddRemoteFlags(CLI::App& command, RemoteFlags& flags) {
  command.add_option("--coordinator", flags.coordinator, "HOST:PORT or unix:PATH; several with commas: the one that leads")
      ->envname("ESPALIER_COORDINATOR");
  command.add_option("--token-file", flags.token_file, "file with the bearer token (mode 0600)")->envname("ESPALIER_TOKEN_FILE");
  command.add_option("--tls-ca", flags.tls.ca, "PEM: speak TLS, and trust coordinators with a certificate from here")
      ->envname("ESPALIER_TLS_CA");
  command.add_option("--tls-cert", flags.tls.certificate, "PEM chain to show to the coordinator (mutual TLS)")
      ->envname("ESPALIER_TLS_CERT");
  command.add_option("--tls-key", flags.tls.key, "its private key (PEM, mode 0600)")->envname("ESPALIER_TLS_KEY");
  command
      .add_option("--tls-server-name", flags.tls_server_name,
                  "the name in the coordinator's certificate, where the address has another")
      ->envname("ESPALIER_TLS_SERVER_NAME");
  AddFormatFlag(command, flags.format);
}

absl::StatusOr<std::unique_ptr<Connection>> Connect(const RemoteFlags& flags) {
  return Connection::Open({flags.coordinator, flags.token_file, flags.tls, flags.tls_server_name});
}

std::string FullJobName(const std::string& name) {
  return absl::StartsWith(name, "jobs/") ? name : absl::StrCat("jobs/", name);
}

}  // namespace espalier
