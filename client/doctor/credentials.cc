#include "client/doctor/credentials.h"

#include "absl/strings/str_cat.h"
#include "common/base/strings.h"
#include "common/security/secret_file.h"

namespace espalier {
namespace {

constexpr absl::Duration kSoon = absl::Hours(24 * 30);

std::string RemedyFor(const absl::Status& status, const std::string& path) {
  if (absl::IsPermissionDenied(status)) return absl::StrCat("chmod 600 ", path);
  if (absl::IsNotFound(status)) return "name the file that is there, or make it: docs/security.md says how";
  return "make it anew: docs/security.md says how";
}

}  // namespace

Check JudgeExpiry(const std::string& path, const absl::StatusOr<absl::Time>& expiry, absl::Time now) {
  if (!expiry.ok())
    return {"certificate", Verdict::kWrong, ToString(expiry.status().message()), RemedyFor(expiry.status(), path)};
  const std::string day = absl::FormatTime("%Y-%m-%d", *expiry, absl::UTCTimeZone());
  if (*expiry <= now)
    return {"certificate", Verdict::kWrong, absl::StrCat(path, ": expired on ", day), "make a new one: docs/security.md says how"};
  const int64_t days = absl::ToInt64Hours(*expiry - now) / 24;
  Check check{"certificate", Verdict::kOk, absl::StrCat(path, ": valid until ", day, ", ", days, days == 1 ? " day" : " days")};
  if (*expiry - now < kSoon) {
    check.verdict = Verdict::kWarning;
    check.remedy = "make a new one in time: running programs read the replaced file by themselves";
  }
  return check;
}

std::vector<Check> CheckCertificates(const TlsFiles& files, absl::Time now) {
  if (files.empty()) return {{"certificate", Verdict::kSkipped, "none named (--tls-ca, --tls-cert, --tls-key)"}};
  std::vector<Check> checks;
  if (const absl::Status status = CheckTlsFiles(files, now); !status.ok())
    checks.push_back({"certificate", Verdict::kWrong, ToString(status.message()), RemedyFor(status, files.key)});
  for (const std::string& path : {files.ca, files.certificate}) {
    if (!path.empty()) checks.push_back(JudgeExpiry(path, ExpiryOf(path), now));
  }
  if (!files.key.empty() && !IsAnyWrong(checks))
    checks.push_back({"private key", Verdict::kOk, absl::StrCat(files.key, ": belongs to the certificate, for your eyes only")});
  return checks;
}

Check CheckToken(const std::string& token_file) {
  if (token_file.empty()) return {"token", Verdict::kSkipped, "none named (--token-file)"};
  const absl::StatusOr<std::string> token = ReadToken(token_file);
  if (token.ok()) return {"token", Verdict::kOk, absl::StrCat(token_file, ": a token, for your eyes only")};
  return {"token", Verdict::kWrong, ToString(token.status().message()), RemedyFor(token.status(), token_file)};
}

}  // namespace espalier
