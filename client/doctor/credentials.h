// Certificates and token files, before a handshake fails on them.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/doctor/check.h"
#include "common/security/tls_files.h"

namespace espalier {

// Kinds, keys that belong to their certificates, permissions, expiry. One skipped check when no file is named.
std::vector<Check> CheckCertificates(const TlsFiles& files, absl::Time now);
Check CheckToken(const std::string& token_file);

// `expiry` of the certificate in `path`.
Check JudgeExpiry(const std::string& path, const absl::StatusOr<absl::Time>& expiry, absl::Time now);

}  // namespace espalier
