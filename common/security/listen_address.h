// Where to listen, and whether that is safe.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace espalier {

struct ListenAddress {
  bool is_unix = false;
  std::string path;  // unix
  std::string host;  // TCP
  int port = 0;      // TCP; 0: any free one
  bool is_loopback() const;
  std::string ToText() const;  // "unix:/run/x.sock", "127.0.0.1:7070", "[::1]:7070"
};

// "unix:PATH" or "HOST:PORT"; kInvalidArgument quotes the text.
absl::StatusOr<ListenAddress> ParseListenAddress(const std::string& text);

// What protects a port.
struct Protection {
  bool has_tls = false;
  bool has_tokens = false;         // a file with roles, chosen by the operator
  bool has_roots = true;           // jobs may name files in certain folders only; ports that take no jobs leave it true
  bool is_insecure_allowed = false;  // the operator said --insecure
  const char* tokens_flag = "--tokens";  // how this program is given them
};

// A TCP address that other machines can reach needs TLS, tokens and roots, or --insecure. kPermissionDenied begins with
// `flag` ("--listen") and says what is missing.
absl::Status CheckExposure(const char* flag, const ListenAddress& address, const Protection& protection);

// kFailedPrecondition when somebody listens there already, kInvalidArgument when the host has no address; both begin with `flag`.
// Removes a socket file that nobody listens on.
absl::Status PrepareAddress(const ListenAddress& address, const char* flag = "--listen");

}  // namespace espalier
