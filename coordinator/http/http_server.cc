#include "coordinator/http/http_server.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <chrono>
#include <optional>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"

namespace espalier {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using asio::ip::tcp;

constexpr uint32_t kMaxHeaderBytes = 16 << 10;
constexpr uint64_t kMaxBodyBytes = 1 << 20;
constexpr auto kHeaderTime = std::chrono::seconds(10);

// One connection; lives as long as its handlers do.
class Connection final : public std::enable_shared_from_this<Connection> {
 public:
  Connection(tcp::socket socket, const HttpRouter& router, int* num_open)
      : stream_(std::move(socket)), router_(router), num_open_(num_open) {
    ++*num_open_;
  }
  ~Connection() { --*num_open_; }

  void Read() {
    parser_.emplace();
    parser_->header_limit(kMaxHeaderBytes);
    parser_->body_limit(kMaxBodyBytes);
    stream_.expires_after(kHeaderTime);
    http::async_read(stream_, buffer_, *parser_, [self = shared_from_this()](beast::error_code error, std::size_t) {
      if (!error) self->Respond();
    });
  }

 private:
  void Respond() {
    const http::request<http::string_body>& request = parser_->get();
    HttpResponse answer;
    if (request.method() != http::verb::get && request.method() != http::verb::head) {
      answer = {405, "text/plain; charset=utf-8", "only GET and HEAD are answered\n"};
    } else {
      const std::string target(request.target().data(), request.target().size());
      answer = router_.Answer(target.substr(0, target.find('?')));
    }
    response_.emplace(static_cast<http::status>(answer.status), request.version());
    response_->set(http::field::content_type, answer.content_type);
    response_->set("X-Content-Type-Options", "nosniff");
    response_->set(http::field::cache_control, "no-store");
    response_->keep_alive(request.keep_alive());
    const size_t length = answer.body.size();
    if (request.method() != http::verb::head) response_->body() = std::move(answer.body);
    response_->content_length(length);
    http::async_write(stream_, *response_, [self = shared_from_this()](beast::error_code error, std::size_t) {
      if (error) return;
      if (self->response_->keep_alive()) return self->Read();
      beast::error_code ignored;
      self->stream_.socket().shutdown(tcp::socket::shutdown_send, ignored);
    });
  }

  beast::tcp_stream stream_;
  const HttpRouter& router_;
  int* num_open_;
  beast::flat_buffer buffer_;
  std::optional<http::request_parser<http::string_body>> parser_;
  std::optional<http::response<http::string_body>> response_;
};

class HttpServerImpl final : public HttpServer {
 public:
  HttpServerImpl(HttpRouter router, int max_connections)
      : router_(std::move(router)), max_connections_(max_connections), acceptor_(context_) {}
  ~HttpServerImpl() override {
    context_.stop();
    if (thread_.joinable()) thread_.join();
  }

  absl::Status Listen(const HttpOptions& options) {
    const auto fail = [&](const char* what, const beast::error_code& error) {
      return absl::FailedPreconditionError(
          absl::StrCat("--http: ", what, " ", options.host, ":", options.port, ": ", error.message()));
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
      if (!error && num_open_ < max_connections_) {
        std::make_shared<Connection>(std::move(socket), router_, &num_open_)->Read();
      }
      if (error != asio::error::operation_aborted) Accept();
    });
  }

  const HttpRouter router_;
  const int max_connections_;
  int num_open_ = 0;  // touched on the server's thread; outlives the context's handlers
  asio::io_context context_{1};
  tcp::acceptor acceptor_;
  int port_ = 0;
  std::thread thread_;
};

}  // namespace

HttpResponse HttpRouter::Answer(const std::string& path) const {
  if (const auto found = exact.find(path); found != exact.end()) return found->second(path);
  const HttpHandler* best = nullptr;
  for (const auto& [prefix, handler] : prefixes) {  // ascending, so a longer prefix of the path comes later
    if (path.rfind(prefix, 0) == 0) best = &handler;
  }
  if (best != nullptr) return (*best)(path);
  return {404, "text/plain; charset=utf-8", "there is nothing here\n"};
}

absl::StatusOr<std::unique_ptr<HttpServer>> HttpServer::Start(const HttpOptions& options, HttpRouter router) {
  auto server = std::make_unique<HttpServerImpl>(std::move(router), options.max_connections);
  if (absl::Status status = server->Listen(options); !status.ok()) return status;
  return server;
}

}  // namespace espalier
