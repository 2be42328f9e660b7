#include "common/artifacts/artifact_names.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/sha256.h"

namespace espalier {
namespace {

constexpr absl::string_view kRecovery = "recovery/";

bool IsNameComponent(absl::string_view part) {
  if (part.empty() || part.front() == '.' || part.size() > 200) return false;
  return std::all_of(part.begin(), part.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
           c == '-';
  });
}

}  // namespace

bool IsArtifactDigest(const std::string& text) {
  return text.size() == 64 && text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

absl::Status CheckArtifactDigest(const std::string& digest) {
  if (IsArtifactDigest(digest)) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("'", digest.substr(0, 80), "' is no artifact digest (64 lower-case hexadecimal digits)"));
}

absl::Status CheckArtifactName(const std::string& name) {
  for (const absl::string_view part : absl::StrSplit(name, '/')) {
    if (!IsNameComponent(part)) {
      return absl::InvalidArgumentError(
          absl::StrCat("'", name.substr(0, 200),
                       "' is no artifact name (components of letters, digits, '.', '_' and '-', split by '/')"));
    }
  }
  return absl::OkStatus();
}

std::string RecoveryNamePrefix(const std::string& job_id) {
  return absl::StrCat(kRecovery, Sha256Hex(job_id).substr(0, 32), "/");
}

std::string RecoveryNamePrefixOf(const std::string& name) {
  if (!absl::StartsWith(name, kRecovery)) return "";
  const size_t end = name.find('/', kRecovery.size());
  return end == std::string::npos ? "" : name.substr(0, end + 1);
}

std::string ArtifactDigestInPath(const std::string& path) {
  const size_t begin = path.rfind('/') + 1;  // 0 when there is none
  const std::string digest = path.substr(begin);
  if (!IsArtifactDigest(digest)) return "";
  return absl::EndsWith(path.substr(0, begin), absl::StrCat("/sha256/", digest.substr(0, 2), "/")) ? digest : "";
}

}  // namespace espalier
