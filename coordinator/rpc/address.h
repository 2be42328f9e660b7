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

// A TCP address beyond loopback needs --insecure. kPermissionDenied says what to do.
absl::Status CheckExposure(const ListenAddress& address, bool is_insecure_allowed);

// kFailedPrecondition when somebody listens there already; removes a socket file that nobody listens on.
absl::Status PrepareAddress(const ListenAddress& address);

}  // namespace espalier
