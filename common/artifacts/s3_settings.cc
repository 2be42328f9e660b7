// Where a bucket is and whose keys open it.
#include <algorithm>
#include <cstdlib>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/artifacts/artifact_names.h"
#include "common/artifacts/s3_client.h"
#include "common/base/status_macros.h"
#include "common/security/secret_file.h"

namespace espalier {
namespace {

constexpr int64_t kMaxCredentialBytes = 1'000'000;

std::string SettingOf(std::initializer_list<const char*> names) {
  for (const char* name : names) {
    const char* value = std::getenv(name);
    if (value != nullptr && *value != '\0') return value;
  }
  return "";
}

bool IsBucketName(absl::string_view name) {
  if (name.size() < 3 || name.size() > 63) return false;
  return std::all_of(name.begin(), name.end(), [](char c) {
    return absl::ascii_islower(static_cast<unsigned char>(c)) || absl::ascii_isdigit(static_cast<unsigned char>(c)) ||
           c == '-' || c == '.';
  });
}

bool IsHostCharacter(char c) { return absl::ascii_isalnum(static_cast<unsigned char>(c)) || absl::StrContains("-.:[]_", absl::string_view(&c, 1)); }

}  // namespace

absl::StatusOr<S3Location> ParseS3Location(const std::string& text, const std::string& endpoint) {
  absl::string_view rest = text;
  if (!absl::ConsumePrefix(&rest, "s3://")) return absl::InvalidArgumentError(absl::StrCat("'", text, "' does not begin with s3://"));
  const std::pair<absl::string_view, absl::string_view> parts = absl::StrSplit(rest, absl::MaxSplits('/', 1));
  S3Location location;
  location.bucket = std::string(parts.first);
  if (!IsBucketName(location.bucket)) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", location.bucket, "' is no bucket (3 to 63 lower-case letters, digits, '-' and '.')"));
  }
  location.prefix = std::string(absl::StripSuffix(parts.second, "/"));
  if (!location.prefix.empty()) {
    ESPALIER_RETURN_IF_ERROR(CheckArtifactName(location.prefix));
    location.prefix.push_back('/');
  }
  location.endpoint = endpoint.empty() ? SettingOf({"AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"}) : endpoint;
  location.endpoint = std::string(absl::StripSuffix(location.endpoint, "/"));
  if (!location.endpoint.empty()) {
    absl::string_view host = location.endpoint;
    const bool has_scheme = absl::ConsumePrefix(&host, "https://") || absl::ConsumePrefix(&host, "http://");
    if (!has_scheme || host.empty() || !std::all_of(host.begin(), host.end(), IsHostCharacter)) {
      return absl::InvalidArgumentError("the endpoint of object storage must be https://HOST[:PORT] (or http://, where "
                                        "everybody on the way may read what is stored), without a path");
    }
  }
  if (const std::string region = SettingOf({"AWS_REGION", "AWS_DEFAULT_REGION"}); !region.empty()) location.region = region;
  return location;
}

absl::StatusOr<S3Credentials> ParseS3Credentials(const std::string& text, const std::string& profile) {
  S3Credentials credentials;
  bool is_in_profile = false;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    line = absl::StripAsciiWhitespace(line);
    if (line.empty() || line.front() == '#' || line.front() == ';') continue;
    if (line.front() == '[') {
      is_in_profile = line == absl::StrCat("[", profile, "]");
      continue;
    }
    if (!is_in_profile) continue;
    const std::pair<absl::string_view, absl::string_view> setting = absl::StrSplit(line, absl::MaxSplits('=', 1));
    const std::string name = absl::AsciiStrToLower(absl::StripAsciiWhitespace(setting.first));
    const std::string value(absl::StripAsciiWhitespace(setting.second));
    if (name == "aws_access_key_id") credentials.access_key = value;
    if (name == "aws_secret_access_key") credentials.secret_key = value;
    if (name == "aws_session_token") credentials.session_token = value;
  }
  if (!credentials.access_key.empty() && !credentials.secret_key.empty()) return credentials;
  return absl::NotFoundError(
      absl::StrCat("it has no aws_access_key_id and aws_secret_access_key in a section [", profile, "]"));
}

absl::StatusOr<S3Credentials> FindS3Credentials() {
  S3Credentials credentials;
  credentials.access_key = SettingOf({"AWS_ACCESS_KEY_ID"});
  credentials.secret_key = SettingOf({"AWS_SECRET_ACCESS_KEY"});
  credentials.session_token = SettingOf({"AWS_SESSION_TOKEN"});
  if (!credentials.access_key.empty() && !credentials.secret_key.empty()) return credentials;
  std::string path = SettingOf({"AWS_SHARED_CREDENTIALS_FILE"});
  if (path.empty()) path = absl::StrCat(SettingOf({"HOME"}), "/.aws/credentials");
  std::string profile = SettingOf({"AWS_PROFILE"});
  if (profile.empty()) profile = "default";
  const absl::StatusOr<std::string> text = ReadSecretFile(path, kMaxCredentialBytes);
  if (absl::IsNotFound(text.status())) {
    return absl::FailedPreconditionError(absl::StrCat(
        "object storage needs AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a file '", path, "'"));
  }
  ESPALIER_RETURN_IF_ERROR(text.status());
  absl::StatusOr<S3Credentials> found = ParseS3Credentials(*text, profile);
  if (found.ok()) return found;
  return absl::FailedPreconditionError(absl::StrCat("'", path, "': ", found.status().message()));
}

}  // namespace espalier
