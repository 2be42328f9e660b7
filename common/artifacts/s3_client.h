// Requests to S3-compatible object storage: libcurl, which signs them (AWS Signature Version 4) and keeps connections.
// Built for one bucket. Any thread may call.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace espalier {

struct S3Location {
  std::string bucket;
  std::string prefix;    // of all keys; empty or ending in '/'
  std::string endpoint;  // "https://host[:port]"; empty: AWS's own
  std::string region = "us-east-1";
};

// "s3://bucket[/prefix]". `endpoint` empty: AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL of the environment, if there is one.
// The region is AWS_REGION or AWS_DEFAULT_REGION. kInvalidArgument says what is wrong.
absl::StatusOr<S3Location> ParseS3Location(const std::string& text, const std::string& endpoint);

struct S3Credentials {
  std::string access_key;
  std::string secret_key;
  std::string session_token;  // empty: none
};

// AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN; without these the profile AWS_PROFILE ("default") of
// AWS_SHARED_CREDENTIALS_FILE (~/.aws/credentials), which nobody else may be able to read. Asked for each request, so
// that a file can be replaced while the program runs. Errors name files and variables, never a value.
absl::StatusOr<S3Credentials> FindS3Credentials();
// The profile of such a file's text; kNotFound when it is not there or has no keys.
absl::StatusOr<S3Credentials> ParseS3Credentials(const std::string& text, const std::string& profile);

struct S3Request {
  const char* method = "GET";  // GET, HEAD, PUT, POST, DELETE
  std::string key;             // below the prefix; empty: the bucket itself
  // Sorted by name, as the signature has them: libcurl 7.88 does not sort them.
  std::vector<std::pair<std::string, std::string>> query;
  std::vector<std::string> headers;          // "name: value"
  std::vector<std::string_view> body;        // pieces, one after the other
  std::string body_digest;                   // SHA-256 of the body; empty: worked out
};

struct S3Response {
  int code = 0;
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;
  std::string error_code;  // <Code> of an error's body
};

class S3Client {
 public:
  struct Options {
    int max_tries = 6;
    absl::Duration first_pause = absl::Milliseconds(200);
  };
  S3Client(S3Location location, Options options);
  ~S3Client();

  // Repeated with growing, jittered pauses while the service is busy or out of reach; then kUnavailable. The response has
  // whatever code it has; ToStatus says what that means.
  absl::StatusOr<S3Response> Send(const S3Request& request);

  // OK for 2xx, else what the code and the error's name mean: kNotFound, kPermissionDenied, kResourceExhausted, ...
  absl::Status ToStatus(const S3Request& request, const S3Response& response) const;

  const S3Location& location() const { return location_; }

 private:
  class Handles;
  absl::StatusOr<S3Response> Try(const S3Request& request, const S3Credentials& credentials);
  std::string Url(const S3Request& request) const;

  const S3Location location_;
  const Options options_;
  std::unique_ptr<Handles> handles_;
};

// What lies between <tag> and </tag>, from `from` on, with entities resolved; empty when there is none. For the flat
// lists that the service sends; no general reader of XML.
std::string XmlText(std::string_view xml, std::string_view tag, size_t from = 0);

}  // namespace espalier
