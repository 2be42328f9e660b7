#include "common/http/tls_context.h"

#include "absl/strings/str_cat.h"

namespace espalier {

namespace ssl = boost::asio::ssl;

absl::Status TlsContext::Load() {
  certificate_stamp_ = StampOf(certificate_path_);
  key_stamp_ = StampOf(key_path_);
  looked_at_ = clock_.Now();
  auto context = std::make_shared<ssl::context>(ssl::context::tls_server);
  boost::system::error_code error;
  context->set_options(ssl::context::default_workarounds | ssl::context::no_sslv2 | ssl::context::no_sslv3 |
                           ssl::context::no_tlsv1 | ssl::context::no_tlsv1_1 | SSL_OP_NO_RENEGOTIATION,
                       error);
  if (!error) context->use_certificate_chain_file(certificate_path_, error);
  if (error) {
    return absl::InvalidArgumentError(absl::StrCat("--tls-cert: '", certificate_path_, "': ", error.message()));
  }
  context->use_private_key_file(key_path_, ssl::context::pem, error);
  if (error) return absl::InvalidArgumentError(absl::StrCat("--tls-key: '", key_path_, "': ", error.message()));
  context_ = std::move(context);
  return absl::OkStatus();
}

std::shared_ptr<ssl::context> TlsContext::Current() {
  const absl::Time now = clock_.Now();
  if (now - looked_at_ < reload_every_) return context_;
  looked_at_ = now;
  if (StampOf(certificate_path_) != certificate_stamp_ || StampOf(key_path_) != key_stamp_) Load().IgnoreError();
  return context_;
}

}  // namespace espalier
