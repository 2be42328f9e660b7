// How the port speaks: plain text, TLS, or TLS with certificates on both sides.
#pragma once

#include <grpcpp/security/server_credentials.h>

#include <memory>

#include "common/security/tls_files.h"

namespace espalier {

// TLS 1.2 at least. Files that are replaced count for connections made at most `reload_seconds` later; those that are
// open stay. The files must have passed CheckTlsFiles.
std::shared_ptr<grpc::ServerCredentials> MakeServerCredentials(const TlsFiles& files, int reload_seconds);

}  // namespace espalier
