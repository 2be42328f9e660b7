// A small HTTP server (Boost.Beast) on one thread, with TLS when it is told to: probes, metrics and pages. GET and HEAD
// only.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace espalier {

struct HttpResponse {
  int status = 200;
  std::string content_type = "text/plain; charset=utf-8";
  std::string body;
};

// Runs on the server's thread; must not block for long. `target`: the path with its query, if any.
using HttpHandler = std::function<HttpResponse(const std::string& target)>;

struct HttpRouter {
  std::map<std::string, HttpHandler> exact;     // "/metrics"
  std::map<std::string, HttpHandler> prefixes;  // "/jobs/": the longest that fits
  std::set<std::string> open;                   // of `exact`: answered without a token, for probes
  HttpResponse Answer(const std::string& target) const;  // 404 where nothing fits
};

struct HttpOptions {
  std::string host = "127.0.0.1";
  int port = 0;  // 0: any free one
  int max_connections = 256;
  std::string flag = "--http";  // with which errors begin
  // TLS (1.2 at least) when both are given. Replaced files count for connections made at most so many seconds later.
  std::string certificate_path;
  std::string key_path;
  int tls_reload_seconds = 10;
  // Asked with the authorization header before anything but the open paths is answered: kUnauthenticated becomes 401,
  // another error 403. None: everybody may read.
  std::function<absl::Status(const std::string& authorization)> authorize;
  // Told of each answer's status, on the server's thread. May be null.
  std::function<void(int status)> on_answer;
};

class HttpServer {
 public:
  // kFailedPrecondition when the port is in use, kInvalidArgument when a certificate cannot be used.
  static absl::StatusOr<std::unique_ptr<HttpServer>> Start(const HttpOptions& options, HttpRouter router);
  virtual ~HttpServer() = default;  // ends the thread
  virtual int port() const = 0;
};

}  // namespace espalier
