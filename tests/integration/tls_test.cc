// TLS on the gRPC and HTTP ports over loopback, with certificates made here.
#include <openssl/ssl.h>
#include <sys/stat.h>

#include <boost/asio.hpp>
#include <boost/asio/ssl.hpp>

#include <functional>

#include "client/service/connection.h"
#include "common/base/files.h"
#include "common/http/http_server.h"
#include "common/security/channel.h"
#include "tests/integration/remote.h"
#include "tests/integration/service.h"
#include "tests/support/certificates.h"

namespace espalier::testing {
namespace {

namespace asio = boost::asio;
namespace ssl = boost::asio::ssl;

constexpr char kToken[] = "a-token-of-some-length";

struct Files {
  Files() : ca("the right authority"), other_ca("another authority") {
    ca.WriteTo(folder / "ca.pem");
    other_ca.WriteTo(folder / "other-ca.pem");
    ca.Issue({}, folder / "server.pem", folder / "server.key");
    ca.Issue({.common_name = "worker-1"}, folder / "worker.pem", folder / "worker.key");
    other_ca.Issue({.common_name = "stranger"}, folder / "stranger.pem", folder / "stranger.key");
  }
  TlsFiles Of(const std::string& authority, const std::string& name = "") const {
    if (name.empty()) return {folder / authority, "", ""};
    return {folder / authority, folder / (name + ".pem"), folder / (name + ".key")};
  }
  TempDir folder;
  CertificateAuthority ca;
  CertificateAuthority other_ca;
};

ServerOptions WithTls(const TlsFiles& tls) {
  ServerOptions options;
  options.tls = tls;
  options.tls_reload_seconds = 1;
  return options;
}

int PortOf(const Service& service) {
  const std::string address = service.address();
  return std::stoi(address.substr(address.rfind(':') + 1));
}

// The status of a call over a new connection.
grpc::Status Call(const Service& service, const ChannelSecurity& security, const std::string& host = "127.0.0.1") {
  const std::string target = absl::StrCat(host, ":", PortOf(service));
  const auto credentials = MakeChannelCredentials(target, security);
  REQUIRE_OK(credentials);
  grpc::ChannelArguments arguments;
  SetSecurityArguments(security, &arguments);
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  const Client client(target, kToken, *credentials, arguments);
  v1::ListJobsResponse jobs;
  return client.search->ListJobs(client.Context(20).get(), {}, &jobs);
}

bool Passes(const Service& service, const ChannelSecurity& security, const std::string& host = "127.0.0.1") {
  const grpc::Status status = Call(service, security, host);
  INFO(status.error_message());
  CHECK((status.ok() || status.error_code() == grpc::StatusCode::UNAVAILABLE));
  return status.ok();
}

// A bare handshake: the serial number of the certificate that is served now, empty when there is no agreement.
std::string SerialAt(int port, int max_version = 0) {
  ssl::context context(ssl::context::tls_client);
  context.set_verify_mode(ssl::verify_none);
  if (max_version != 0) {
    SSL_CTX_set_min_proto_version(context.native_handle(), TLS1_VERSION);
    SSL_CTX_set_max_proto_version(context.native_handle(), max_version);
    SSL_CTX_set_cipher_list(context.native_handle(), "ALL:@SECLEVEL=0");
  }
  asio::io_context io;
  ssl::stream<asio::ip::tcp::socket> stream(io, context);
  static const unsigned char kH2[] = {2, 'h', '2'};
  SSL_set_alpn_protos(stream.native_handle(), kH2, sizeof(kH2));
  stream.lowest_layer().connect({asio::ip::make_address("127.0.0.1"), static_cast<uint16_t>(port)});
  boost::system::error_code error;
  stream.handshake(ssl::stream_base::client, error);
  if (error) return "";
  X509* certificate = SSL_get1_peer_certificate(stream.native_handle());
  BIGNUM* number = ASN1_INTEGER_to_BN(X509_get_serialNumber(certificate), nullptr);
  char* text = BN_bn2hex(number);
  const std::string serial(text);
  OPENSSL_free(text);
  BN_free(number);
  X509_free(certificate);
  return serial;
}

// Waits (real time: gRPC's own thread watches the files) until another certificate is served.
std::string SerialAfter(int port, const std::string& old) {
  for (int i = 0; i < 200; ++i) {
    const std::string serial = SerialAt(port);
    if (!serial.empty() && serial != old) return serial;
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  return old;
}

TEST_CASE("TLS: a caller that trusts the certificate gets through, all others do not", "[integration]") {
  const Files files;
  const Service service("127.0.0.1:0", kToken, WithTls({"", files.folder / "server.pem", files.folder / "server.key"}));
  CHECK(Passes(service, {files.Of("ca.pem"), "", ""}));
  CHECK(Passes(service, {files.Of("ca.pem"), "", ""}, "localhost"));
  CHECK_FALSE(Passes(service, {files.Of("other-ca.pem"), "", ""}));
  CHECK_FALSE(Passes(service, {}));  // plain text
  CHECK_FALSE(Passes(service, {files.Of("ca.pem"), "coordinator.example.org", ""}));
  CHECK(Passes(service, {files.Of("ca.pem"), "localhost", ""}));
}

TEST_CASE("TLS: a client that speaks plain text to it is told which flag is missing", "[integration]") {
  const Files files;
  const Service service("127.0.0.1:0", kToken, WithTls({"", files.folder / "server.pem", files.folder / "server.key"}));
  const auto ask = [&](const TlsFiles& tls) {
    auto connection = Connection::Open({.coordinator = absl::StrCat("127.0.0.1:", PortOf(service)), .tls = tls});
    REQUIRE_OK(connection);
    const auto jobs = (*connection)->Call(&v1::SearchService::Stub::ListJobs, v1::ListJobsRequest());
    return std::string(jobs.status().message());
  };
  CHECK_THAT(ask({}), Catch::Contains("no coordinator answers") && Catch::Contains("name its authority with --tls-ca"));
  CHECK_THAT(ask(files.Of("other-ca.pem")), Catch::Contains("no coordinator answers") && !Catch::Contains("--tls-ca"));
}

TEST_CASE("TLS: a certificate for another name is refused unless that name was asked for", "[integration]") {
  const Files files;
  files.ca.Issue({.common_name = "c", .alternative_names = "DNS:coordinator.example.org"}, files.folder / "server.pem",
                 files.folder / "server.key");
  const Service service("127.0.0.1:0", kToken, WithTls({"", files.folder / "server.pem", files.folder / "server.key"}));
  CHECK_FALSE(Passes(service, {files.Of("ca.pem"), "", ""}));
  CHECK_FALSE(Passes(service, {files.Of("ca.pem"), "", ""}, "localhost"));
  CHECK(Passes(service, {files.Of("ca.pem"), "coordinator.example.org", ""}));
}

TEST_CASE("TLS: nothing below version 1.2 is spoken", "[integration]") {
  const Files files;
  const Service service("127.0.0.1:0", kToken, WithTls({"", files.folder / "server.pem", files.folder / "server.key"}));
  CHECK(SerialAt(PortOf(service), TLS1_VERSION).empty());
  CHECK(SerialAt(PortOf(service), TLS1_1_VERSION).empty());
  CHECK_FALSE(SerialAt(PortOf(service), TLS1_2_VERSION).empty());
  CHECK_FALSE(SerialAt(PortOf(service), TLS1_3_VERSION).empty());
}

TEST_CASE("Mutual TLS: without a certificate of the authority nobody gets through", "[integration]") {
  const Files files;
  const Service service("127.0.0.1:0", kToken, WithTls(files.Of("ca.pem", "server")));
  CHECK(Passes(service, {files.Of("ca.pem", "worker"), "", ""}));
  CHECK_FALSE(Passes(service, {files.Of("ca.pem"), "", ""}));
  CHECK_FALSE(Passes(service, {files.Of("ca.pem", "stranger"), "", ""}));
  // One that has ended: the caller's own check would refuse it, so it is put in place afterwards.
  const Client late(absl::StrCat("127.0.0.1:", PortOf(service)), kToken, [&] {
    files.ca.Issue({.begins = -absl::Hours(48), .ends = -absl::Hours(1)}, files.folder / "old.pem", files.folder / "old.key");
    grpc::SslCredentialsOptions options;
    options.pem_root_certs = files.ca.Pem();
    options.pem_cert_chain = *ReadFile(files.folder / "old.pem", 1 << 20);
    options.pem_private_key = *ReadFile(files.folder / "old.key", 1 << 20);
    return grpc::SslCredentials(options);
  }());
  v1::ListJobsResponse jobs;
  CHECK(late.search->ListJobs(late.Context(20).get(), {}, &jobs).error_code() == grpc::StatusCode::UNAVAILABLE);
}

TEST_CASE("TLS: a token is still needed, and a client certificate is none", "[integration]") {
  const Files files;
  const Service service("127.0.0.1:0", "another-token-than-the-caller's", WithTls(files.Of("ca.pem", "server")));
  CHECK(Call(service, {files.Of("ca.pem", "worker"), "", ""}).error_code() == grpc::StatusCode::UNAUTHENTICATED);
}

TEST_CASE("TLS: a rotated certificate is served on new connections, and open ones go on", "[integration]") {
  const Files files;
  const Service service("127.0.0.1:0", kToken, WithTls({"", files.folder / "server.pem", files.folder / "server.key"}));
  const int port = PortOf(service);
  const auto credentials = MakeChannelCredentials(service.address(), {files.Of("ca.pem"), "", ""});
  REQUIRE_OK(credentials);
  const Client open_before(service.address(), kToken, *credentials);
  v1::ListJobsResponse jobs;
  REQUIRE(open_before.search->ListJobs(open_before.Context(20).get(), {}, &jobs).ok());

  const std::string first = SerialAt(port);
  REQUIRE_FALSE(first.empty());
  files.ca.Issue({}, files.folder / "server.pem", files.folder / "server.key");
  const std::string second = SerialAfter(port, first);
  CHECK(second != first);
  CHECK(Passes(service, {files.Of("ca.pem"), "", ""}));
  CHECK(open_before.search->ListJobs(open_before.Context(20).get(), {}, &jobs).ok());

  // Another authority; then a certificate that has ended.
  files.other_ca.Issue({}, files.folder / "server.pem", files.folder / "server.key");
  const std::string third = SerialAfter(port, second);
  CHECK(third != second);
  CHECK_FALSE(Passes(service, {files.Of("ca.pem"), "", ""}));
  CHECK(Passes(service, {files.Of("other-ca.pem"), "", ""}));
  files.ca.Issue({.begins = -absl::Hours(48), .ends = -absl::Hours(1)}, files.folder / "server.pem",
                 files.folder / "server.key");
  CHECK(SerialAfter(port, third) != third);
  CHECK_FALSE(Passes(service, {files.Of("ca.pem"), "", ""}));
}

// Waits (real time: gRPC's own threads watch the files) until a new connection passes, or does not.
bool Becomes(bool passes, const std::function<bool()>& try_one) {
  for (int i = 0; i < 150; ++i) {
    if (try_one() == passes) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
  }
  return false;
}

TEST_CASE("Mutual TLS: another authority for clients counts on new connections without a restart, open ones go on",
          "[integration]") {
  const Files files;
  const std::string client_ca = files.folder / "client-ca.pem";
  files.ca.WriteTo(client_ca);
  const Service service("127.0.0.1:0", kToken, WithTls({client_ca, files.folder / "server.pem", files.folder / "server.key"}));
  const ChannelSecurity worker{files.Of("ca.pem", "worker"), "", ""};
  // Of another authority, and it trusts the coordinator's.
  const ChannelSecurity stranger{files.Of("ca.pem", "stranger"), "", ""};
  const auto credentials = MakeChannelCredentials(service.address(), worker);
  REQUIRE_OK(credentials);
  const Client open_before(service.address(), kToken, *credentials);
  v1::ListJobsResponse jobs;
  REQUIRE(open_before.search->ListJobs(open_before.Context(20).get(), {}, &jobs).ok());
  REQUIRE_FALSE(Passes(service, stranger));

  files.other_ca.WriteTo(client_ca);
  CHECK(Becomes(true, [&] { return Passes(service, stranger); }));
  CHECK(Becomes(false, [&] { return Passes(service, worker); }));
  CHECK(open_before.search->ListJobs(open_before.Context(20).get(), {}, &jobs).ok());
  files.ca.WriteTo(client_ca);
  CHECK(Becomes(true, [&] { return Passes(service, worker); }));
  CHECK(Becomes(false, [&] { return Passes(service, stranger); }));
}

TEST_CASE("Mutual TLS: a caller's replaced certificate is shown on its new connections without a restart", "[integration]") {
  const Files files;
  const Service service("127.0.0.1:0", kToken, WithTls(files.Of("ca.pem", "server")));
  // One process for all of it, with one set of credentials, as a worker has.
  const auto credentials = MakeChannelCredentials(service.address(), {files.Of("ca.pem", "stranger"), "", ""});
  REQUIRE_OK(credentials);
  const auto passes = [&] {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    const Client client(service.address(), kToken, *credentials, arguments);
    v1::ListJobsResponse jobs;
    return client.search->ListJobs(client.Context(20).get(), {}, &jobs).ok();
  };
  REQUIRE_FALSE(passes());
  files.ca.Issue({.common_name = "worker-1"}, files.folder / "stranger.pem", files.folder / "stranger.key");
  CHECK(Becomes(true, passes));  // files are looked at every ten seconds
}

TEST_CASE("TLS: files that cannot be used stop the start, and name what is wrong", "[integration]") {
  const Files files;
  const TempDir folder;
  auto store_options = WithTls({"", files.folder / "server.pem", files.folder / "worker.key"});
  Service plain("127.0.0.1:0", kToken);
  store_options.address = *ParseListenAddress("127.0.0.1:0");
  CHECK_THAT(std::string(plain.StartAnother(store_options).message()), Catch::Contains("does not belong"));
  REQUIRE(::chmod((files.folder / "server.key").c_str(), 0640) == 0);
  store_options.tls.key = files.folder / "server.key";
  CHECK(plain.StartAnother(store_options).code() == absl::StatusCode::kPermissionDenied);
}

// One request over TLS; the whole answer.
std::string AskHttps(int port, const std::string& path, const std::string& authorization) {
  ssl::context context(ssl::context::tls_client);
  context.set_verify_mode(ssl::verify_none);
  asio::io_context io;
  ssl::stream<asio::ip::tcp::socket> stream(io, context);
  stream.lowest_layer().connect({asio::ip::make_address("127.0.0.1"), static_cast<uint16_t>(port)});
  stream.handshake(ssl::stream_base::client);
  std::string request = "GET " + path + " HTTP/1.1\r\nHost: h\r\nConnection: close\r\n";
  if (!authorization.empty()) request += "Authorization: " + authorization + "\r\n";
  asio::write(stream, asio::buffer(request + "\r\n"));
  std::string answer;
  boost::system::error_code error;
  asio::read(stream, asio::dynamic_buffer(answer), error);
  return answer;
}

TEST_CASE("HTTP over TLS: probes are open, the rest needs a token that may read, certificates rotate", "[integration]") {
  const Files files;
  REQUIRE_OK(WriteFileAtomically(files.folder / "tokens", "read reader-0123456789 grafana\nwork worker-0123456789 w\n"));
  REQUIRE(::chmod((files.folder / "tokens").c_str(), 0600) == 0);
  const SteadyClock clock;
  const auto authority = TokenAuthority::FromFile(files.folder / "tokens", TokenAuthority::Format::kTable, &clock,
                                                  absl::Seconds(1), nullptr);
  REQUIRE_OK(authority);
  HttpRouter router;
  router.open = {"/healthz"};
  router.exact["/healthz"] = [](const std::string&) { return HttpResponse{.body = "alive"}; };
  router.exact["/metrics"] = [](const std::string&) { return HttpResponse{.body = "numbers"}; };
  HttpOptions options;
  options.certificate_path = files.folder / "server.pem";
  options.key_path = files.folder / "server.key";
  options.tls_reload_seconds = 1;
  options.authorize = [&](const std::string& header) { return (*authority)->Check(header, Role::kRead).status(); };
  const auto server = HttpServer::Start(options, router);
  REQUIRE_OK(server);
  const int port = (*server)->port();
  CHECK_THAT(AskHttps(port, "/healthz", ""), Catch::StartsWith("HTTP/1.1 200") && Catch::EndsWith("alive"));
  CHECK_THAT(AskHttps(port, "/metrics", ""),
             Catch::StartsWith("HTTP/1.1 401") && Catch::Contains("WWW-Authenticate: Bearer"));
  CHECK_THAT(AskHttps(port, "/metrics", "Bearer reader-0123456788"), Catch::StartsWith("HTTP/1.1 401"));
  CHECK_THAT(AskHttps(port, "/metrics", "Bearer worker-0123456789"), Catch::StartsWith("HTTP/1.1 403"));
  CHECK_THAT(AskHttps(port, "/none", ""), Catch::StartsWith("HTTP/1.1 401"));
  CHECK_THAT(AskHttps(port, "/metrics?x=1", "Bearer reader-0123456789"),
             Catch::StartsWith("HTTP/1.1 200") && Catch::EndsWith("numbers"));
  CHECK(SerialAt(port, TLS1_1_VERSION).empty());
  const std::string first = SerialAt(port, TLS1_2_VERSION);
  REQUIRE_FALSE(first.empty());
  files.ca.Issue({}, files.folder / "server.pem", files.folder / "server.key");
  CHECK(SerialAfter(port, first) != first);
}

}  // namespace
}  // namespace espalier::testing
