#include "tests/support/certificates.h"

#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>

#include <cstdio>

#include "common/base/check.h"
#include "common/base/files.h"

namespace espalier::testing {
namespace {

struct Free {
  void operator()(X509* value) const { X509_free(value); }
  void operator()(EVP_PKEY* value) const { EVP_PKEY_free(value); }
  void operator()(BIO* value) const { BIO_free(value); }
};
using Certificate = std::unique_ptr<X509, Free>;
using Key = std::unique_ptr<EVP_PKEY, Free>;

Key NewKey() {
  Key key(EVP_EC_gen("P-256"));
  ESPALIER_CHECK(key != nullptr);
  return key;
}

void AddExtension(X509* certificate, X509* issuer, int id, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, id, value.c_str());
  ESPALIER_CHECK(extension != nullptr);
  X509_add_ext(certificate, extension, -1);
  X509_EXTENSION_free(extension);
}

// `issuer` null: signed by its own key.
Certificate NewCertificate(const CertificateOptions& options, EVP_PKEY* key, X509* issuer, EVP_PKEY* issuer_key) {
  Certificate certificate(X509_new());
  X509_set_version(certificate.get(), 2);
  unsigned char serial[16];
  ESPALIER_CHECK(RAND_bytes(serial, sizeof(serial)) == 1);
  serial[0] &= 0x7f;
  BIGNUM* number = BN_bin2bn(serial, sizeof(serial), nullptr);
  BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate.get()));
  BN_free(number);
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), absl::ToInt64Seconds(options.begins));
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), absl::ToInt64Seconds(options.ends));
  X509_set_pubkey(certificate.get(), key);
  X509_NAME* name = X509_get_subject_name(certificate.get());
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8,
                             reinterpret_cast<const unsigned char*>(options.common_name.c_str()), -1, -1, 0);
  X509* signer = issuer == nullptr ? certificate.get() : issuer;
  X509_set_issuer_name(certificate.get(), X509_get_subject_name(signer));
  const bool is_authority = issuer == nullptr;
  AddExtension(certificate.get(), signer, NID_basic_constraints, is_authority ? "critical,CA:TRUE" : "critical,CA:FALSE");
  if (!is_authority) AddExtension(certificate.get(), signer, NID_subject_alt_name, options.alternative_names);
  ESPALIER_CHECK(X509_sign(certificate.get(), issuer_key, EVP_sha256()) > 0);
  return certificate;
}

std::string TextOf(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  return std::string(data, static_cast<size_t>(size));
}

std::string PemOf(X509* certificate) {
  const std::unique_ptr<BIO, Free> bio(BIO_new(BIO_s_mem()));
  PEM_write_bio_X509(bio.get(), certificate);
  return TextOf(bio.get());
}

}  // namespace

struct CertificateAuthority::Parts {
  Key key;
  Certificate certificate;
};

CertificateAuthority::CertificateAuthority(const std::string& name) : parts_(std::make_unique<Parts>()) {
  parts_->key = NewKey();
  CertificateOptions options;
  options.common_name = name;
  parts_->certificate = NewCertificate(options, parts_->key.get(), nullptr, parts_->key.get());
}

CertificateAuthority::~CertificateAuthority() = default;

std::string CertificateAuthority::Pem() const { return PemOf(parts_->certificate.get()); }

void CertificateAuthority::WriteTo(const std::string& path) const {
  ESPALIER_CHECK(WriteFileAtomically(path, Pem()).ok());
}

void CertificateAuthority::Issue(const CertificateOptions& options, const std::string& certificate_path,
                                 const std::string& key_path) const {
  const Key key = NewKey();
  const Certificate certificate = NewCertificate(options, key.get(), parts_->certificate.get(), parts_->key.get());
  const std::unique_ptr<BIO, Free> bio(BIO_new(BIO_s_mem()));
  PEM_write_bio_PrivateKey(bio.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr);
  ESPALIER_CHECK(WriteFileAtomically(key_path + ".new", TextOf(bio.get())).ok());
  ESPALIER_CHECK(::chmod((key_path + ".new").c_str(), 0600) == 0);
  ESPALIER_CHECK(::rename((key_path + ".new").c_str(), key_path.c_str()) == 0);
  ESPALIER_CHECK(WriteFileAtomically(certificate_path, PemOf(certificate.get())).ok());
}

}  // namespace espalier::testing
