#include "coordinator/security_options.h"

#include <spdlog/spdlog.h>
#include <sys/resource.h>

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/files.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/security/redact.h"
#include "coordinator/http/request_target.h"

namespace espalier {
namespace {

constexpr absl::Duration kLookAtTokensEvery = absl::Seconds(1);

void SayDays(const TlsFiles& tls) {
  const absl::StatusOr<absl::Time> end = ExpiryOf(tls.certificate);
  if (!end.ok()) return;
  const double days = absl::ToDoubleHours(*end - absl::Now()) / 24;
  spdlog::log(days < 14 ? spdlog::level::warn : spdlog::level::info, "the certificate is valid for {:.1f} more days", days);
}

}  // namespace

void AddSecurityFlags(CLI::App& app, SecurityOptions& options) {
  CLI::Option* cert = app.add_option("--tls-cert", options.tls.certificate, "PEM chain: speak TLS on TCP ports");
  CLI::Option* key = app.add_option("--tls-key", options.tls.key, "Its private key (PEM, mode 0600)");
  cert->needs(key);
  key->needs(cert);
  app.add_option("--tls-client-ca", options.tls.ca, "PEM: callers of --listen must show a certificate from here")
      ->needs(cert);
  app.add_option("--tls-reload-seconds", options.tls_reload_seconds, "Replaced certificates count after so long")
      ->check(CLI::Range(1, 3600))
      ->capture_default_str();
  CLI::Option* token =
      app.add_option("--token-file", options.token_file, "Token for TCP, made with mode 0600 if missing; default STATE/token");
  app.add_option("--tokens", options.tokens, "File of lines 'ROLE TOKEN NAME' (read, submit, work; mode 0600)")
      ->excludes(token);
  app.add_option("--allow-root", options.allow_roots, "Jobs may name files in this folder only (repeatable)")
      ->allow_extra_args(false);
  app.add_flag("--no-reflection", options.has_no_reflection, "Do not describe the services to callers");
  app.add_flag("--insecure", options.is_insecure, "Allow an address beyond this machine without TLS, tokens or roots");
}

absl::StatusOr<std::unique_ptr<Security>> Security::Open(const SecurityOptions& options, const ListenAddress& listen,
                                                         const ListenAddress* http, const std::string& state_folder,
                                                         const std::string& artifact_folder, const Clock* clock) {
  Protection protection;
  protection.has_tls = !options.tls.certificate.empty();
  protection.has_tokens = !options.tokens.empty();
  protection.is_insecure_allowed = options.is_insecure;
  if (http != nullptr) ESPALIER_RETURN_IF_ERROR(CheckExposure("--http", *http, protection));
  protection.has_roots = !options.allow_roots.empty();
  ESPALIER_RETURN_IF_ERROR(CheckExposure("--listen", listen, protection));
  if (options.is_insecure && !listen.is_loopback()) {
    spdlog::warn("--insecure: {} may be reached from other machines{}", listen.ToText(),
                 protection.has_tls ? "" : ", and what is said there can be read on the way");
  }
  std::unique_ptr<Security> security(new Security());
  security->has_reflection_ = !options.has_no_reflection;
  security->tls_reload_seconds_ = options.tls_reload_seconds;
  ESPALIER_RETURN_IF_ERROR(CheckTlsFiles(options.tls, absl::Now()));
  if (protection.has_tls) SayDays(options.tls);
  security->tls_ = options.tls;
  if (!options.allow_roots.empty()) {
    std::vector<std::string> folders = options.allow_roots;
    if (!artifact_folder.empty()) {
      ESPALIER_RETURN_IF_ERROR(CreateFolders(artifact_folder));
      folders.push_back(std::filesystem::absolute(artifact_folder).lexically_normal().string());
    }
    ESPALIER_ASSIGN_OR_RETURN(security->roots_, PathRoots::Open(folders));
  }
  ESPALIER_RETURN_IF_ERROR(security->OpenTokens(options, listen, state_folder, clock));
  // A core file would hold keys and tokens.
  if (protection.has_tls || security->authority_ != nullptr) {
    const rlimit none{0, 0};
    ::setrlimit(RLIMIT_CORE, &none);
  }
  return security;
}

absl::Status Security::OpenTokens(const SecurityOptions& options, const ListenAddress& listen,
                                  const std::string& state_folder, const Clock* clock) {
  const auto on_event = [](const std::string& what, bool is_error) {
    spdlog::log(is_error ? spdlog::level::err : spdlog::level::info, "{}", WithoutPaths(what));
  };
  if (!options.tokens.empty()) {
    ESPALIER_ASSIGN_OR_RETURN(authority_, TokenAuthority::FromFile(options.tokens, TokenAuthority::Format::kTable, clock,
                                                                   kLookAtTokensEvery, on_event));
    guards_http_ = true;
    return absl::OkStatus();
  }
  if (listen.is_unix && options.token_file.empty()) return absl::OkStatus();
  const std::string path = options.token_file.empty() ? state_folder + "/token" : options.token_file;
  ESPALIER_RETURN_IF_ERROR(ReadOrMakeToken(path).status());
  ESPALIER_ASSIGN_OR_RETURN(authority_, TokenAuthority::FromFile(path, TokenAuthority::Format::kOneToken, clock,
                                                                 kLookAtTokensEvery, on_event));
  spdlog::info("callers need the token of the file {}",
               options.token_file.empty() ? "'token' in the state folder" : "that --token-file names");
  return absl::OkStatus();
}

void Security::ApplyTo(ServerOptions* options) {
  options->authority = authority_.get();
  options->gate_observer = &access_log_;
  if (!options->address.is_unix) options->tls = tls_;
  options->tls_reload_seconds = tls_reload_seconds_;
  options->has_reflection = has_reflection_;
  options->roots = roots_;
}

void Security::ApplyTo(HttpOptions* options) {
  // On loopback the port stays plain, for probes and collectors of this machine.
  ListenAddress address;
  address.host = options->host;
  const bool is_loopback = address.is_loopback();
  if (!is_loopback) options->certificate_path = tls_.certificate;
  if (!is_loopback) options->key_path = tls_.key;
  options->tls_reload_seconds = tls_reload_seconds_;
  if (!guards_http_) return;
  options->authorize = [authority = authority_.get(), log = &access_log_](const std::string& authorization) {
    const absl::StatusOr<Identity> identity = authority->Check(BearerOf(authorization), Role::kRead);
    if (!identity.ok()) log->OnRefused("http", identity.status(), "");
    return identity.status();
  };
}

}  // namespace espalier
