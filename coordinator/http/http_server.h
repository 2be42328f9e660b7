// A small HTTP server (Boost.Beast) on one thread: probes and metrics now, pages later. GET and HEAD only.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace espalier {

struct HttpResponse {
  int status = 200;
  std::string content_type = "text/plain; charset=utf-8";
  std::string body;
};

// Runs on the server's thread; must not block for long.
using HttpHandler = std::function<HttpResponse(const std::string& path)>;

struct HttpRouter {
  std::map<std::string, HttpHandler> exact;     // "/metrics"
  std::map<std::string, HttpHandler> prefixes;  // "/jobs/": the longest that fits
  HttpResponse Answer(const std::string& path) const;  // 404 where nothing fits
};

struct HttpOptions {
  std::string host = "127.0.0.1";
  int port = 0;  // 0: any free one
  int max_connections = 256;
};

class HttpServer {
 public:
  // kFailedPrecondition when the port is in use.
  static absl::StatusOr<std::unique_ptr<HttpServer>> Start(const HttpOptions& options, HttpRouter router);
  virtual ~HttpServer() = default;  // ends the thread
  virtual int port() const = 0;
};

}  // namespace espalier
