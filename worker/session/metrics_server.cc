#include "worker/session/metrics_server.h"

#include <spdlog/spdlog.h>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/security/listen_address.h"
#include "common/security/redact.h"
#include "common/security/tls_files.h"

namespace espalier {
namespace {

constexpr char kMetricsFlag[] = "--metrics-listen";

HttpRouter MakeWorkerRouter(WorkerMetrics* metrics) {
  HttpRouter router;
  router.open = {"/healthz", "/readyz"};
  router.exact["/healthz"] = [](const std::string&) { return HttpResponse{.body = "ok\n"}; };
  router.exact["/readyz"] = [metrics](const std::string&) {
    if (metrics->is_connected()) return HttpResponse{.body = "ok\n"};
    return HttpResponse{.status = 503, .body = "the coordinator does not answer\n"};
  };
  router.exact["/metrics"] = [metrics](const std::string&) {
    return HttpResponse{.content_type = "text/plain; version=0.0.4; charset=utf-8", .body = metrics->Text()};
  };
  return router;
}

}  // namespace

absl::StatusOr<std::unique_ptr<MetricsServer>> MetricsServer::Start(const ServeOptions& options, WorkerMetrics* metrics,
                                                                    const Clock* clock) {
  if (options.metrics_listen.empty()) return std::unique_ptr<MetricsServer>();
  ESPALIER_ASSIGN_OR_RETURN(ListenAddress address, ParseListenAddress(options.metrics_listen));
  if (address.is_unix) return absl::InvalidArgumentError(absl::StrCat(kMetricsFlag, ": needs HOST:PORT"));
  Protection protection;
  protection.has_tls = !options.tls_certificate.empty();
  protection.has_tokens = !options.metrics_tokens.empty();
  protection.tokens_flag = "--metrics-tokens";
  protection.is_insecure_allowed = options.is_insecure;
  ESPALIER_RETURN_IF_ERROR(CheckExposure(kMetricsFlag, address, protection));
  std::unique_ptr<MetricsServer> server(new MetricsServer());
  HttpOptions http;
  http.host = address.host;
  http.port = address.port;
  http.flag = kMetricsFlag;
  if (!address.is_loopback() && protection.has_tls) {
    ESPALIER_RETURN_IF_ERROR(
        CheckTlsFiles({.ca = "", .certificate = options.tls_certificate, .key = options.tls_key}, absl::Now()));
    http.certificate_path = options.tls_certificate;
    http.key_path = options.tls_key;
  }
  if (protection.has_tokens) {
    const auto on_event = [](const std::string& what, bool is_error) {
      spdlog::log(is_error ? spdlog::level::err : spdlog::level::info, "{}", WithoutPaths(what));
    };
    ESPALIER_ASSIGN_OR_RETURN(server->authority_,
                              TokenAuthority::FromFile(options.metrics_tokens, TokenAuthority::Format::kTable, clock,
                                                       absl::Seconds(1), on_event));
    http.authorize = [authority = server->authority_.get()](const std::string& authorization) {
      return authority->Check(authorization, Role::kRead).status();
    };
  }
  ESPALIER_ASSIGN_OR_RETURN(server->http_, HttpServer::Start(http, MakeWorkerRouter(metrics)));
  address.port = server->http_->port();
  server->address_ = address.ToText();
  return server;
}

}  // namespace espalier
