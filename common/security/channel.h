// The caller's side of a coordinator's port: TLS where it is asked for, and the token of a file that may change.
#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>
#include <mutex>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/security/secret_file.h"
#include "common/security/tls_files.h"

namespace espalier {

struct ChannelSecurity {
  TlsFiles tls;                 // empty: plain text, for Unix sockets, loopback and networks that are trusted
  std::string tls_server_name;  // the name in the coordinator's certificate, where it is not that of the address
  std::string token_file;       // empty: no token
};

// Credentials for a channel to `target`. A Unix socket never speaks TLS, whatever is set (an environment variable that is
// meant for the fleet must not break `espalier run`). Files are read again every few seconds, so that a certificate can
// be replaced. kInvalidArgument as CheckTlsFiles, and for a certificate without --tls-ca.
absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> MakeChannelCredentials(const std::string& target,
                                                                                 const ChannelSecurity& security);
// The channel arguments that belong to it.
void SetSecurityArguments(const ChannelSecurity& security, grpc::ChannelArguments* arguments);

// The bearer token of a file, read again when the file has changed. Thread-safe.
class CallToken {
 public:
  // An empty path: no token. kInvalidArgument or kPermissionDenied as ReadToken.
  static absl::StatusOr<std::unique_ptr<CallToken>> Open(const std::string& path);

  // Adds the header. A file that cannot be read any more leaves the earlier token in force.
  void AddTo(grpc::ClientContext& context);

 private:
  CallToken() = default;
  std::string path_;
  std::mutex mutex_;
  std::string token_;  // guarded by mutex_
  FileStamp stamp_;    // guarded by mutex_
};

}  // namespace espalier
