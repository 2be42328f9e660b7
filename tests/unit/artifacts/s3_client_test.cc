// What needs no service: where it is, whose keys, and what is done when it is busy. The contract is run against a real
// server of the protocol by tests/contract/s3_test.py.
#include "common/artifacts/s3_client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <thread>

#include "absl/strings/str_cat.h"
#include "common/base/files.h"
#include "tests/support/catch.h"
#include "tests/support/temp_dir.h"

namespace espalier {
namespace {

TEST_CASE("S3: a location is a bucket, a prefix and an endpoint", "[artifacts]") {
  const auto location = ParseS3Location("s3://my-bucket/team/espalier/", "https://storage.example:9000/");
  REQUIRE_OK(location);
  CHECK(location->bucket == "my-bucket");
  CHECK(location->prefix == "team/espalier/");
  CHECK(location->endpoint == "https://storage.example:9000");
  CHECK(ParseS3Location("s3://bucket", "").value().prefix.empty());
  for (const char* wrong : {"bucket", "s3://", "s3://ab", "s3://Bucket", "s3://bucket/../other", "s3://bucket/a b", "s3://a/b"}) {
    INFO(wrong);
    CHECK(absl::IsInvalidArgument(ParseS3Location(wrong, "").status()));
  }
  for (const char* wrong : {"storage.example", "ftp://x", "https://", "https://user:password@x", "https://x/path"}) {
    INFO(wrong);
    const absl::Status status = ParseS3Location("s3://bucket", wrong).status();
    CHECK(absl::IsInvalidArgument(status));
    CHECK(status.message().find("password") == absl::string_view::npos);
  }
}

TEST_CASE("S3: credentials come from a profile of a file", "[artifacts]") {
  const std::string text =
      "# keys\n[default]\naws_access_key_id = AKIA1\naws_secret_access_key=secret=1\n\n[other]\n"
      "aws_access_key_id=AKIA2\r\naws_secret_access_key = secret2\naws_session_token = token2\n[empty]\n";
  CHECK(ParseS3Credentials(text, "default")->access_key == "AKIA1");
  CHECK(ParseS3Credentials(text, "default")->secret_key == "secret=1");
  CHECK(ParseS3Credentials(text, "default")->session_token.empty());
  CHECK(ParseS3Credentials(text, "other")->access_key == "AKIA2");
  CHECK(ParseS3Credentials(text, "other")->session_token == "token2");
  for (const char* missing : {"empty", "none"}) {
    const absl::Status status = ParseS3Credentials(text, missing).status();
    CHECK(absl::IsNotFound(status));
    CHECK(status.message().find("secret") != absl::string_view::npos);  // the name of the setting
    CHECK(status.message().find("secret2") == absl::string_view::npos);
  }
}

TEST_CASE("S3: a list's entries are found, and what is cut is empty", "[artifacts]") {
  const std::string xml = "<L><Contents><Key>a&amp;b</Key></Contents><Contents><Key>c</Key></Contents><Cut>x";
  CHECK(XmlText(xml, "Key") == "a&b");
  CHECK(XmlText(xml, "Key", xml.rfind("<Contents>")) == "c");
  CHECK(XmlText(xml, "Cut").empty());
  CHECK(XmlText(xml, "None").empty());
  CHECK(XmlText(xml, "Key", 10'000).empty());
}

// Answers each connection with the next of these, and keeps what was asked.
class ScriptedServer {
 public:
  explicit ScriptedServer(std::vector<std::string> answers) : answers_(std::move(answers)) {
    listener_ = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    REQUIRE(::bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    REQUIRE(::listen(listener_, 8) == 0);
    socklen_t length = sizeof address;
    ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &length);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { Serve(); });
  }
  ~ScriptedServer() {
    ::shutdown(listener_, SHUT_RDWR);
    thread_.join();
    ::close(listener_);
  }
  std::string endpoint() const { return absl::StrCat("http://127.0.0.1:", port_); }
  std::vector<std::string> asked;

 private:
  void Serve() {
    for (const std::string& answer : answers_) {
      const int connection = ::accept(listener_, nullptr, nullptr);
      if (connection < 0) return;
      std::string request;
      char buffer[4096];
      while (request.find("\r\n\r\n") == std::string::npos) {
        const ssize_t count = ::recv(connection, buffer, sizeof buffer, 0);
        if (count <= 0) break;
        request.append(buffer, static_cast<size_t>(count));
      }
      asked.push_back(request);
      (void)!::send(connection, answer.data(), answer.size(), MSG_NOSIGNAL);
      ::close(connection);
    }
  }
  std::vector<std::string> answers_;
  int listener_ = -1;
  int port_ = 0;
  std::thread thread_;
};

std::string Answer(int code, const std::string& body) {
  return absl::StrCat("HTTP/1.1 ", code, " Answer\r\nConnection: close\r\nContent-Length: ", body.size(), "\r\n\r\n", body);
}

TEST_CASE("S3: a busy service is asked again, a refusal is not", "[artifacts]") {
  testing::TempDir temp;
  ::setenv("AWS_ACCESS_KEY_ID", "AKIATEST", 1);
  ::setenv("AWS_SECRET_ACCESS_KEY", "canary-of-a-secret", 1);
  const S3Client::Options quick{.max_tries = 4, .first_pause = absl::Milliseconds(1)};
  S3Request request;
  request.key = "sha256/ab/x";

  SECTION("busy twice, cut once, then there") {
    ScriptedServer server({Answer(503, "<Error><Code>SlowDown</Code></Error>"), Answer(500, ""), "", Answer(200, "content")});
    S3Client client(*ParseS3Location("s3://bucket/p", server.endpoint()), quick);
    const auto response = client.Send(request);
    REQUIRE_OK(response);
    CHECK(response->body == "content");
    REQUIRE(server.asked.size() == 4);
    for (const std::string& asked : server.asked) {
      CHECK_THAT(asked, Catch::StartsWith("GET /bucket/p/sha256/ab/x HTTP/1.1\r\n"));
      CHECK_THAT(asked, Catch::Contains("AWS4-HMAC-SHA256") && !Catch::Contains("canary-of-a-secret"));
    }
  }
  SECTION("busy for too long") {
    const std::string busy = Answer(503, "<Error><Code>SlowDown</Code></Error>");
    ScriptedServer server({busy, busy, busy, busy});
    S3Client client(*ParseS3Location("s3://bucket/p", server.endpoint()), quick);
    const absl::Status status = client.Send(request).status();
    CHECK(absl::IsUnavailable(status));
    CHECK_THAT(std::string(status.message()), Catch::Contains("SlowDown") && !Catch::Contains("canary"));
  }
  SECTION("refused, or full") {
    ScriptedServer server({Answer(403, "<Error><Code>AccessDenied</Code></Error>"), Answer(507, "")});
    S3Client client(*ParseS3Location("s3://bucket/p", server.endpoint()), S3Client::Options{.max_tries = 1, .first_pause = absl::Milliseconds(1)});
    const auto refused = client.Send(request);
    REQUIRE_OK(refused);
    CHECK(absl::IsPermissionDenied(client.ToStatus(request, *refused)));
    CHECK(absl::IsResourceExhausted(client.Send(request).status()));
  }
  ::unsetenv("AWS_ACCESS_KEY_ID");
  ::unsetenv("AWS_SECRET_ACCESS_KEY");

  SECTION("a credentials file that others can read is refused, and asked for by name when it is missing") {
    ::setenv("AWS_SHARED_CREDENTIALS_FILE", (temp / "credentials").c_str(), 1);
    CHECK_THAT(std::string(FindS3Credentials().status().message()), Catch::Contains("AWS_ACCESS_KEY_ID"));
    REQUIRE_OK(WriteFileAtomically(temp / "credentials", "[default]\naws_access_key_id=a\naws_secret_access_key=b\n"));
    CHECK_FALSE(FindS3Credentials().ok());
    REQUIRE(::chmod((temp / "credentials").c_str(), 0600) == 0);
    CHECK(FindS3Credentials().value().secret_key == "b");
    ::unsetenv("AWS_SHARED_CREDENTIALS_FILE");
  }
}

}  // namespace
}  // namespace espalier
