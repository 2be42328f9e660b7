// PEM files of one side of a TLS connection, checked before they are used: a wrong file is said at the start, not at
// every handshake.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace espalier {

struct TlsFiles {
  std::string ca;           // whose certificates of the other side are trusted
  std::string certificate;  // this side's chain, own certificate first
  std::string key;          // its private key; see CheckSecretFile
  bool empty() const { return ca.empty() && certificate.empty() && key.empty(); }
};

// kInvalidArgument: certificate without key or the reverse, a file that is no PEM of its kind, a key that does not
// belong to the certificate, a certificate that has expired or is not valid yet (at `now`). kPermissionDenied: others may
// read the key. Messages name the file, never its content.
absl::Status CheckTlsFiles(const TlsFiles& files, absl::Time now);

// When the first certificate of the file ends.
absl::StatusOr<absl::Time> ExpiryOf(const std::string& certificate_path);

}  // namespace espalier
