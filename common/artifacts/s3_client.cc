#include "common/artifacts/s3_client.h"

#include <curl/curl.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <random>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/time/clock.h"
#include "common/base/sha256.h"
#include "common/base/status_macros.h"

namespace espalier {
namespace {

constexpr long kConnectSeconds = 10;
constexpr long kStalledSeconds = 30;  // less than a byte a second for so long: the connection is given up
constexpr size_t kMaxResponseBytes = size_t{1} << 40;
constexpr absl::Duration kLongestPause = absl::Seconds(5);

// The body on its way out, and back to its start when curl has to send it again.
struct Upload {
  const std::vector<std::string_view>* pieces;
  size_t piece = 0;
  size_t offset = 0;
};

size_t ReadBody(char* buffer, size_t size, size_t count, void* context) {
  auto& upload = *static_cast<Upload*>(context);
  size_t filled = 0;
  while (filled < size * count && upload.piece < upload.pieces->size()) {
    const std::string_view rest = (*upload.pieces)[upload.piece].substr(upload.offset);
    const size_t taken = std::min(rest.size(), size * count - filled);
    if (taken > 0) std::memcpy(buffer + filled, rest.data(), taken);
    filled += taken;
    upload.offset += taken;
    if (taken == rest.size()) ++upload.piece, upload.offset = 0;
  }
  return filled;
}

int SeekBody(void* context, curl_off_t offset, int origin) {
  if (origin != SEEK_SET || offset != 0) return CURL_SEEKFUNC_CANTSEEK;
  auto& upload = *static_cast<Upload*>(context);
  upload.piece = upload.offset = 0;
  return CURL_SEEKFUNC_OK;
}

size_t WriteBody(char* data, size_t size, size_t count, void* context) {
  auto& body = *static_cast<std::string*>(context);
  if (body.size() + size * count > kMaxResponseBytes) return 0;
  body.append(data, size * count);
  return size * count;
}

size_t WriteHeader(char* data, size_t size, size_t count, void* context) {
  auto& headers = *static_cast<std::map<std::string, std::string>*>(context);
  const absl::string_view line(data, size * count);
  const size_t colon = line.find(':');
  if (colon != absl::string_view::npos) {
    headers[absl::AsciiStrToLower(line.substr(0, colon))] = std::string(absl::StripAsciiWhitespace(line.substr(colon + 1)));
  }
  return size * count;
}

std::string Escape(const std::string& text, bool keeps_slash) {
  std::string escaped;
  for (const char c : text) {
    const bool is_plain = absl::ascii_isalnum(static_cast<unsigned char>(c)) || std::strchr("-._~", c) != nullptr;
    if ((is_plain && c != '\0') || (keeps_slash && c == '/')) {
      escaped.push_back(c);
    } else {
      absl::StrAppend(&escaped, "%", absl::AsciiStrToUpper(absl::StrCat(absl::Hex(static_cast<unsigned char>(c), absl::kZeroPad2))));
    }
  }
  return escaped;
}

bool IsWorthAnotherTry(int code) { return code == 408 || code == 429 || code >= 500; }

struct HeaderList {
  ~HeaderList() { curl_slist_free_all(list); }
  void Add(const std::string& header) { list = curl_slist_append(list, header.c_str()); }
  curl_slist* list = nullptr;
};

void PauseBeforeTry(int tries, absl::Duration first) {
  thread_local std::minstd_rand random{std::random_device{}()};
  const absl::Duration pause = std::min(kLongestPause, first * (1 << std::min(tries, 10)));
  absl::SleepFor(pause * std::uniform_real_distribution<double>(0.5, 1.0)(random));
}

}  // namespace

// Handles that have done a request keep its connection for the next one.
class S3Client::Handles {
 public:
  Handles() {
    static const CURLcode initialized = curl_global_init(CURL_GLOBAL_DEFAULT);
    (void)initialized;
  }
  ~Handles() {
    for (CURL* handle : idle_) curl_easy_cleanup(handle);
  }
  CURL* Take() {
    const std::lock_guard lock(mutex_);
    if (idle_.empty()) return curl_easy_init();
    CURL* handle = idle_.back();
    idle_.pop_back();
    curl_easy_reset(handle);
    return handle;
  }
  void GiveBack(CURL* handle) {
    const std::lock_guard lock(mutex_);
    idle_.push_back(handle);
  }

 private:
  std::mutex mutex_;
  std::vector<CURL*> idle_;
};

S3Client::S3Client(S3Location location, Options options)
    : location_(std::move(location)), options_(options), handles_(std::make_unique<Handles>()) {}

S3Client::~S3Client() = default;

std::string S3Client::Url(const S3Request& request) const {
  // With an endpoint of its own the bucket is in the path: names of hosts for each bucket are AWS's.
  std::string url = location_.endpoint.empty()
                        ? absl::StrCat("https://", location_.bucket, ".s3.", location_.region, ".amazonaws.com/")
                        : absl::StrCat(location_.endpoint, "/", location_.bucket);
  if (!request.key.empty()) {
    absl::StrAppend(&url, location_.endpoint.empty() ? "" : "/", Escape(location_.prefix + request.key, true));
  }
  const char* separator = "?";
  for (const auto& [name, value] : request.query) {
    absl::StrAppend(&url, separator, Escape(name, false), "=", Escape(value, false));
    separator = "&";
  }
  return url;
}

absl::StatusOr<S3Response> S3Client::Try(const S3Request& request, const S3Credentials& credentials) {
  CURL* handle = handles_->Take();
  if (handle == nullptr) return absl::ResourceExhaustedError("curl: no memory for a request");
  const absl::string_view method = request.method;
  const bool has_body = method == "PUT" || method == "POST";
  S3Response response;
  Upload upload{&request.body};
  size_t length = 0;
  for (const std::string_view piece : request.body) length += piece.size();

  HeaderList headers;
  std::string digest = request.body_digest;
  if (digest.empty()) {
    Sha256 hash;
    for (const std::string_view piece : request.body) hash.Update(piece);
    digest = hash.FinishHex();
  }
  headers.Add(absl::StrCat("x-amz-content-sha256: ", digest));
  if (has_body) headers.Add("Content-Type: application/octet-stream");
  if (!credentials.session_token.empty()) headers.Add(absl::StrCat("x-amz-security-token: ", credentials.session_token));
  for (const std::string& header : request.headers) headers.Add(header);

  const auto set = [handle](CURLoption option, auto value) { curl_easy_setopt(handle, option, value); };
  char reason[CURL_ERROR_SIZE] = "";
  const std::string url = Url(request);
  const std::string signer = absl::StrCat("aws:amz:", location_.region, ":s3");
  set(CURLOPT_ERRORBUFFER, reason);
  set(CURLOPT_URL, url.c_str());
  set(CURLOPT_PATH_AS_IS, 1L);
  set(CURLOPT_PROTOCOLS_STR, "http,https");
  set(CURLOPT_AWS_SIGV4, signer.c_str());
  set(CURLOPT_USERNAME, credentials.access_key.c_str());
  set(CURLOPT_PASSWORD, credentials.secret_key.c_str());
  set(CURLOPT_NOSIGNAL, 1L);
  set(CURLOPT_CONNECTTIMEOUT, kConnectSeconds);
  set(CURLOPT_EXPECT_100_TIMEOUT_MS, 100L);  // (7.88 would sign an empty Expect header, by which others turn it off)
  set(CURLOPT_LOW_SPEED_LIMIT, 1L);
  set(CURLOPT_LOW_SPEED_TIME, kStalledSeconds);
  set(CURLOPT_HTTPHEADER, headers.list);
  set(CURLOPT_WRITEFUNCTION, &WriteBody);
  set(CURLOPT_WRITEDATA, &response.body);
  set(CURLOPT_HEADERFUNCTION, &WriteHeader);
  set(CURLOPT_HEADERDATA, &response.headers);
  if (method == "HEAD") set(CURLOPT_NOBODY, 1L);
  if (has_body) {
    set(CURLOPT_UPLOAD, 1L);
    set(CURLOPT_READFUNCTION, &ReadBody);
    set(CURLOPT_READDATA, &upload);
    set(CURLOPT_SEEKFUNCTION, &SeekBody);
    set(CURLOPT_SEEKDATA, &upload);
    set(CURLOPT_INFILESIZE_LARGE, static_cast<curl_off_t>(length));
  }
  if (method != "HEAD") set(CURLOPT_CUSTOMREQUEST, request.method);
  const CURLcode result = curl_easy_perform(handle);
  long code = 0;
  curl_easy_getinfo(handle, CURLINFO_RESPONSE_CODE, &code);
  if (result != CURLE_OK) {
    curl_easy_cleanup(handle);  // its connection may be in any state
    return absl::UnavailableError(absl::StrCat("object storage: ", request.method, " ", request.key, ": ",
                                               reason[0] != '\0' ? reason : curl_easy_strerror(result)));
  }
  handles_->GiveBack(handle);
  response.code = static_cast<int>(code);
  if (response.code >= 300) response.error_code = XmlText(response.body, "Code");
  return response;
}

absl::StatusOr<S3Response> S3Client::Send(const S3Request& request) {
  absl::StatusOr<S3Response> response = absl::UnavailableError("object storage: not tried");
  for (int tries = 0; tries < options_.max_tries; ++tries) {
    if (tries > 0) PauseBeforeTry(tries - 1, options_.first_pause);
    ESPALIER_ASSIGN_OR_RETURN(const S3Credentials credentials, FindS3Credentials());
    response = Try(request, credentials);
    if (response.ok() && !IsWorthAnotherTry(response->code)) return response;
    if (!response.ok() && !absl::IsUnavailable(response.status())) return response;
  }
  if (response.ok()) return ToStatus(request, *response);
  return response;
}

absl::Status S3Client::ToStatus(const S3Request& request, const S3Response& response) const {
  if (response.code >= 200 && response.code < 300) return absl::OkStatus();
  const std::string message =
      absl::StrCat("object storage: ", request.method, " ", request.key.empty() ? "of the bucket" : request.key,
                   " in bucket '", location_.bucket, "': HTTP ", response.code,
                   response.error_code.empty() ? "" : absl::StrCat(", ", response.error_code.substr(0, 100)));
  if (response.error_code == "QuotaExceeded" || response.error_code == "XMinioStorageFull" || response.code == 507) {
    return absl::ResourceExhaustedError(message);
  }
  switch (response.code) {
    case 301: case 307: case 400: return absl::InvalidArgumentError(message);
    case 401: case 403: return absl::PermissionDeniedError(message);
    case 404: return absl::NotFoundError(message);
    case 416: return absl::OutOfRangeError(message);
    default: return absl::UnavailableError(message);
  }
}

std::string XmlText(std::string_view xml, std::string_view tag, size_t from) {
  const std::string open = absl::StrCat("<", std::string(tag), ">"), close = absl::StrCat("</", std::string(tag), ">");
  const size_t begin = from > xml.size() ? std::string_view::npos : xml.find(open, from);
  if (begin == std::string_view::npos) return "";
  const size_t end = xml.find(close, begin + open.size());
  if (end == std::string_view::npos) return "";
  std::string text(xml.substr(begin + open.size(), end - begin - open.size()));
  return absl::StrReplaceAll(text, {{"&lt;", "<"}, {"&gt;", ">"}, {"&quot;", "\""}, {"&apos;", "'"}, {"&#34;", "\""}, {"&#39;", "'"}, {"&amp;", "&"}});
}

}  // namespace espalier
