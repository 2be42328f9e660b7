#include "common/security/channel.h"

#include <grpcpp/security/credentials.h>
#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_credentials_options.h>

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/status_macros.h"

namespace espalier {
namespace {

constexpr unsigned kReloadSeconds = 10;

}  // namespace

absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> MakeChannelCredentials(const std::string& target,
                                                                                 const ChannelSecurity& security) {
  const TlsFiles& files = security.tls;
  if (files.empty() || absl::StartsWith(target, "unix:")) return grpc::InsecureChannelCredentials();
  if (files.ca.empty()) {
    return absl::InvalidArgumentError(
        "--tls-cert without --tls-ca: name the certificate authority that the coordinator's certificate comes from");
  }
  ESPALIER_RETURN_IF_ERROR(CheckTlsFiles(files, absl::Now()));
  grpc::experimental::TlsChannelCredentialsOptions options;
  options.set_certificate_provider(std::make_shared<grpc::experimental::FileWatcherCertificateProvider>(
      files.key, files.certificate, files.ca, kReloadSeconds));
  options.watch_root_certs();
  if (!files.certificate.empty()) options.watch_identity_key_cert_pairs();
  return grpc::experimental::TlsCredentials(options);
}

void SetSecurityArguments(const ChannelSecurity& security, grpc::ChannelArguments* arguments) {
  if (!security.tls_server_name.empty()) arguments->SetSslTargetNameOverride(security.tls_server_name);
}

absl::StatusOr<std::unique_ptr<CallToken>> CallToken::Open(const std::string& path) {
  std::unique_ptr<CallToken> token(new CallToken());
  if (path.empty()) return token;
  token->path_ = path;
  token->stamp_ = StampOf(path);
  ESPALIER_ASSIGN_OR_RETURN(token->token_, ReadToken(path));
  return token;
}

void CallToken::AddTo(grpc::ClientContext& context) {
  if (path_.empty()) return;
  std::string token;
  {
    std::lock_guard lock(mutex_);
    if (const FileStamp stamp = StampOf(path_); stamp != stamp_) {
      stamp_ = stamp;
      if (absl::StatusOr<std::string> read = ReadToken(path_); read.ok()) token_ = *std::move(read);
    }
    token = token_;
  }
  context.AddMetadata("authorization", absl::StrCat("Bearer ", token));
}

}  // namespace espalier
