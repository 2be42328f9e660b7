// Certificate authorities and certificates for tests, made on the spot (EC keys: fast).
#pragma once

#include <memory>
#include <string>

#include "absl/time/time.h"

namespace espalier::testing {

struct CertificateOptions {
  std::string common_name = "localhost";
  std::string alternative_names = "DNS:localhost,IP:127.0.0.1";
  absl::Duration begins = -absl::Hours(1);  // from now
  absl::Duration ends = absl::Hours(24);
};

class CertificateAuthority {
 public:
  explicit CertificateAuthority(const std::string& name);
  ~CertificateAuthority();

  std::string Pem() const;
  void WriteTo(const std::string& path) const;  // its own certificate
  // Writes certificate and key (mode 0600), each by renaming.
  void Issue(const CertificateOptions& options, const std::string& certificate_path, const std::string& key_path) const;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace espalier::testing
