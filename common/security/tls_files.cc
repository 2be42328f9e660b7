#include "common/security/tls_files.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <memory>

#include "absl/strings/str_cat.h"
#include "common/base/files.h"
#include "common/base/status_macros.h"
#include "common/security/secret_file.h"

namespace espalier {
namespace {

constexpr int64_t kMaxPemBytes = 4 << 20;

struct Free {
  void operator()(BIO* bio) const { BIO_free(bio); }
  void operator()(X509* certificate) const { X509_free(certificate); }
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
};
template <typename T>
using Owned = std::unique_ptr<T, Free>;

// Never asks a terminal for the password of a protected key.
int NoPassword(char*, int, int, void*) { return -1; }

absl::StatusOr<Owned<X509>> ReadCertificate(const std::string& path) {
  ESPALIER_ASSIGN_OR_RETURN(const std::string pem, ReadFile(path, kMaxPemBytes));
  const Owned<BIO> bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  Owned<X509> certificate(PEM_read_bio_X509(bio.get(), nullptr, NoPassword, nullptr));
  ERR_clear_error();
  if (certificate == nullptr) return absl::InvalidArgumentError(absl::StrCat("'", path, "' holds no PEM certificate"));
  return certificate;
}

absl::StatusOr<Owned<EVP_PKEY>> ReadKey(const std::string& path) {
  ESPALIER_ASSIGN_OR_RETURN(const std::string pem, ReadSecretFile(path, kMaxPemBytes));
  const Owned<BIO> bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  Owned<EVP_PKEY> key(PEM_read_bio_PrivateKey(bio.get(), nullptr, NoPassword, nullptr));
  ERR_clear_error();
  if (key == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat("'", path, "' holds no PEM private key without a password"));
  }
  return key;
}

absl::StatusOr<absl::Time> TimeOf(const ASN1_TIME* time, const std::string& path) {
  std::tm parts{};
  if (ASN1_TIME_to_tm(time, &parts) != 1) return absl::InvalidArgumentError(absl::StrCat("'", path, "' has no valid dates"));
  return absl::FromTM(parts, absl::UTCTimeZone());
}

absl::Status CheckDates(const X509* certificate, const std::string& path, absl::Time now) {
  ESPALIER_ASSIGN_OR_RETURN(const absl::Time begin, TimeOf(X509_get0_notBefore(certificate), path));
  ESPALIER_ASSIGN_OR_RETURN(const absl::Time end, TimeOf(X509_get0_notAfter(certificate), path));
  const auto text = [](absl::Time time) { return absl::FormatTime("%Y-%m-%d %H:%M UTC", time, absl::UTCTimeZone()); };
  if (now > end) {
    return absl::InvalidArgumentError(absl::StrCat("the certificate in '", path, "' ended at ", text(end), "; renew it"));
  }
  if (now < begin) {
    return absl::InvalidArgumentError(
        absl::StrCat("the certificate in '", path, "' begins at ", text(begin), "; is the clock right?"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckTlsFiles(const TlsFiles& files, absl::Time now) {
  if (files.certificate.empty() != files.key.empty()) {
    return absl::InvalidArgumentError("a certificate and its private key belong together: give both or neither");
  }
  if (!files.ca.empty()) ESPALIER_RETURN_IF_ERROR(ReadCertificate(files.ca).status());
  if (files.certificate.empty()) return absl::OkStatus();
  ESPALIER_ASSIGN_OR_RETURN(const Owned<X509> certificate, ReadCertificate(files.certificate));
  ESPALIER_RETURN_IF_ERROR(CheckDates(certificate.get(), files.certificate, now));
  ESPALIER_ASSIGN_OR_RETURN(const Owned<EVP_PKEY> key, ReadKey(files.key));
  if (X509_check_private_key(certificate.get(), key.get()) == 1) return absl::OkStatus();
  ERR_clear_error();
  return absl::InvalidArgumentError(
      absl::StrCat("the key in '", files.key, "' does not belong to the certificate in '", files.certificate, "'"));
}

absl::StatusOr<absl::Time> ExpiryOf(const std::string& certificate_path) {
  ESPALIER_ASSIGN_OR_RETURN(const Owned<X509> certificate, ReadCertificate(certificate_path));
  return TimeOf(X509_get0_notAfter(certificate.get()), certificate_path);
}

}  // namespace espalier
