#include "common/http/http_server.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/ssl.hpp>
#include <chrono>
#include <optional>
#include <thread>
#include <type_traits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/strings.h"
#include "common/http/tls_context.h"

namespace espalier {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using asio::ip::tcp;

constexpr uint32_t kMaxHeaderBytes = 16 << 10;
constexpr uint64_t kMaxBodyBytes = 1 << 20;
constexpr auto kHeaderTime = std::chrono::seconds(10);

// What connections share; outlives them.
struct Shared {
  HttpRouter router;
  HttpOptions options;
  int num_open = 0;  // touched on the server's thread
};

HttpResponse Refusal(const absl::Status& why) {
  const int status = absl::IsUnauthenticated(why) ? 401 : 403;
  return {status, "text/plain; charset=utf-8", ToString(why.message()) + "\n"};
}

HttpResponse AnswerTo(const http::request<http::string_body>& request, const Shared& shared) {
  if (request.method() != http::verb::get && request.method() != http::verb::head) {
    return {405, "text/plain; charset=utf-8", "only GET and HEAD are answered\n"};
  }
  const std::string target(request.target().data(), request.target().size());
  const std::string path = target.substr(0, target.find('?'));
  if (shared.options.authorize && !shared.router.open.contains(path)) {
    const auto header = request[http::field::authorization];
    const absl::Status status = shared.options.authorize(std::string(header.data(), header.size()));
    if (!status.ok()) return Refusal(status);
  }
  return shared.router.Answer(target);
}

using PlainStream = beast::tcp_stream;
using TlsStream = beast::ssl_stream<beast::tcp_stream>;

// One connection; lives as long as its handlers do.
template <typename Stream>
class Connection final : public std::enable_shared_from_this<Connection<Stream>> {
 public:
  Connection(tcp::socket socket, Shared* shared)
    requires std::is_same_v<Stream, PlainStream>
      : stream_(std::move(socket)), shared_(shared) {
    ++shared_->num_open;
  }
  Connection(tcp::socket socket, std::shared_ptr<asio::ssl::context> context, Shared* shared)
    requires std::is_same_v<Stream, TlsStream>
      : context_(std::move(context)), stream_(std::move(socket), *context_), shared_(shared) {
    ++shared_->num_open;
  }
  ~Connection() { --shared_->num_open; }

  void Begin() {
    if constexpr (std::is_same_v<Stream, TlsStream>) {
      beast::get_lowest_layer(stream_).expires_after(kHeaderTime);
      stream_.async_handshake(asio::ssl::stream_base::server, [self = this->shared_from_this()](beast::error_code error) {
        if (!error) self->Read();
      });
    } else {
      Read();
    }
  }

 private:
  void Read() {
    parser_.emplace();
    parser_->header_limit(kMaxHeaderBytes);
    parser_->body_limit(kMaxBodyBytes);
    beast::get_lowest_layer(stream_).expires_after(kHeaderTime);
    http::async_read(stream_, buffer_, *parser_, [self = this->shared_from_this()](beast::error_code error, std::size_t) {
      if (!error) self->Respond();
    });
  }

  void Respond() {
    const http::request<http::string_body>& request = parser_->get();
    HttpResponse answer = AnswerTo(request, *shared_);
    if (shared_->options.on_answer) shared_->options.on_answer(answer.status);
    response_.emplace(static_cast<http::status>(answer.status), request.version());
    response_->set(http::field::content_type, answer.content_type);
    response_->set("X-Content-Type-Options", "nosniff");
    response_->set(http::field::cache_control, "no-store");
    response_->set("Referrer-Policy", "no-referrer");
    // Pages are text, pictures in it and style: nothing else may load or run, nobody may frame them.
    response_->set("Content-Security-Policy",
                   "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; "
                   "frame-ancestors 'none'");
    if (answer.status == 401) {
      response_->insert(http::field::www_authenticate, "Bearer");
      response_->insert(http::field::www_authenticate, "Basic realm=\"Espalier: any name, a token as the password\"");
    }
    response_->keep_alive(request.keep_alive());
    const size_t length = answer.body.size();
    if (request.method() != http::verb::head) response_->body() = std::move(answer.body);
    response_->content_length(length);
    http::async_write(stream_, *response_, [self = this->shared_from_this()](beast::error_code error, std::size_t) {
      if (error) return;
      if (self->response_->keep_alive()) return self->Read();
      self->End();
    });
  }

  void End() {
    if constexpr (std::is_same_v<Stream, TlsStream>) {
      stream_.async_shutdown([self = this->shared_from_this()](beast::error_code) {});
    } else {
      beast::error_code ignored;
      stream_.socket().shutdown(tcp::socket::shutdown_send, ignored);
    }
  }

  std::shared_ptr<asio::ssl::context> context_;  // TLS only
  Stream stream_;
  Shared* shared_;
  beast::flat_buffer buffer_;
  std::optional<http::request_parser<http::string_body>> parser_;
  std::optional<http::response<http::string_body>> response_;
};

class HttpServerImpl final : public HttpServer {
 public:
  HttpServerImpl(HttpRouter router, const HttpOptions& options)
      : shared_{std::move(router), options}, acceptor_(context_) {}
  ~HttpServerImpl() override {
    context_.stop();
    if (thread_.joinable()) thread_.join();
  }

  absl::Status Listen() {
    const HttpOptions& options = shared_.options;
    if (!options.certificate_path.empty()) {
      tls_.emplace(options.certificate_path, options.key_path, absl::Seconds(options.tls_reload_seconds));
      if (absl::Status status = tls_->Load(); !status.ok()) return status;
    }
    const auto fail = [&](const char* what, const beast::error_code& error) {
      return absl::FailedPreconditionError(
          absl::StrCat(options.flag, ": ", what, " ", options.host, ":", options.port, ": ", error.message()));
    };
    beast::error_code error;
    const std::string host = options.host == "localhost" ? "127.0.0.1" : options.host;
    const asio::ip::address address = asio::ip::make_address(host, error);
    if (error) return fail("no IP address:", error);
    const tcp::endpoint endpoint(address, static_cast<uint16_t>(options.port));
    acceptor_.open(endpoint.protocol(), error);
    if (!error) acceptor_.set_option(asio::socket_base::reuse_address(true), error);
    if (!error) acceptor_.bind(endpoint, error);
    if (!error) acceptor_.listen(asio::socket_base::max_listen_connections, error);
    if (error) return fail("cannot listen on", error);
    port_ = acceptor_.local_endpoint().port();
    Accept();
    thread_ = std::thread([this] { context_.run(); });
    return absl::OkStatus();
  }

  int port() const override { return port_; }

 private:
  void Accept() {
    acceptor_.async_accept([this](beast::error_code error, tcp::socket socket) {
      if (!error && shared_.num_open < shared_.options.max_connections) {
        if (tls_.has_value()) {
          std::make_shared<Connection<TlsStream>>(std::move(socket), tls_->Current(), &shared_)->Begin();
        } else {
          std::make_shared<Connection<PlainStream>>(std::move(socket), &shared_)->Begin();
        }
      }
      if (error != asio::error::operation_aborted) Accept();
    });
  }

  Shared shared_;  // outlives the context's handlers
  std::optional<TlsContext> tls_;
  asio::io_context context_{1};
  tcp::acceptor acceptor_;
  int port_ = 0;
  std::thread thread_;
};

}  // namespace

HttpResponse HttpRouter::Answer(const std::string& target) const {
  const std::string path = target.substr(0, target.find('?'));
  if (const auto found = exact.find(path); found != exact.end()) return found->second(target);
  const HttpHandler* best = nullptr;
  for (const auto& [prefix, handler] : prefixes) {  // ascending, so a longer prefix of the path comes later
    if (path.rfind(prefix, 0) == 0) best = &handler;
  }
  if (best != nullptr) return (*best)(target);
  return {404, "text/plain; charset=utf-8", "there is nothing here\n"};
}

absl::StatusOr<std::unique_ptr<HttpServer>> HttpServer::Start(const HttpOptions& options, HttpRouter router) {
  auto server = std::make_unique<HttpServerImpl>(std::move(router), options);
  if (absl::Status status = server->Listen(); !status.ok()) return status;
  return server;
}

}  // namespace espalier
