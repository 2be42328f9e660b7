#include "common/security/listen_address.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/descriptor.h"
#include "common/base/files.h"

namespace espalier {
namespace {

constexpr char kUnix[] = "unix:";

bool SomebodyAnswers(const sockaddr_un& address) {
  const Descriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  return socket.is_open() && ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
}

absl::Status PrepareUnix(const std::string& path, const char* flag) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) {
    return absl::InvalidArgumentError(absl::StrCat(flag, ": the socket path '", path, "' is longer than ",
                                                   sizeof(address.sun_path) - 1, " bytes; name a shorter one"));
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  struct stat info;
  if (::lstat(path.c_str(), &info) != 0) return absl::OkStatus();
  if (!S_ISSOCK(info.st_mode)) {
    return absl::FailedPreconditionError(absl::StrCat(flag, ": '", path, "' exists and is no socket"));
  }
  if (SomebodyAnswers(address)) {
    return absl::FailedPreconditionError(
        absl::StrCat(flag, ": another process listens on '", path, "'; stop it or name another path"));
  }
  if (::unlink(path.c_str()) != 0) return ErrnoStatus("cannot remove the old socket", path);
  return absl::OkStatus();
}

absl::Status PrepareTcp(const ListenAddress& address, const char* flag) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* found = nullptr;
  const std::string port = std::to_string(address.port);
  if (const int error = ::getaddrinfo(address.host.c_str(), port.c_str(), &hints, &found); error != 0) {
    return absl::InvalidArgumentError(absl::StrCat(flag, ": '", address.host, "': ", ::gai_strerror(error)));
  }
  absl::Status status;
  const Descriptor socket(::socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int reuse = 1;
  ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &reuse, sizeof(reuse));
  if (!socket.is_open() || ::bind(socket.get(), found->ai_addr, found->ai_addrlen) != 0) {
    status = absl::FailedPreconditionError(absl::StrCat(flag, ": cannot listen on ", address.ToText(), ": ",
                                                        std::strerror(errno), "; name another address or port"));
  }
  ::freeaddrinfo(found);
  return status;
}

}  // namespace

bool ListenAddress::is_loopback() const {
  if (is_unix || host == "localhost") return true;
  // Numbers only: a name such as 127.example.org leads anywhere.
  in_addr v4;
  in6_addr v6;
  if (::inet_pton(AF_INET, host.c_str(), &v4) == 1) return (ntohl(v4.s_addr) >> 24) == 127;
  return ::inet_pton(AF_INET6, host.c_str(), &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

std::string ListenAddress::ToText() const {
  if (is_unix) return absl::StrCat(kUnix, path);
  const bool is_v6 = host.find(':') != std::string::npos;
  return is_v6 ? absl::StrCat("[", host, "]:", port) : absl::StrCat(host, ":", port);
}

absl::StatusOr<ListenAddress> ParseListenAddress(const std::string& text) {
  ListenAddress address;
  if (text.rfind(kUnix, 0) == 0) {
    address.is_unix = true;
    address.path = text.substr(sizeof(kUnix) - 1);
    if (!address.path.empty()) return address;
  }
  const size_t colon = text.rfind(':');
  if (!address.is_unix && colon != std::string::npos && colon > 0) {
    address.host = text.substr(0, colon);
    if (address.host.front() == '[' && address.host.back() == ']') address.host = address.host.substr(1, colon - 2);
    int port = -1;
    if (absl::SimpleAtoi(text.substr(colon + 1), &port) && port >= 0 && port <= 65535 && !address.host.empty()) {
      address.port = port;
      return address;
    }
  }
  return absl::InvalidArgumentError(absl::StrCat("'", text, "' is neither unix:PATH nor HOST:PORT"));
}

absl::Status CheckExposure(const char* flag, const ListenAddress& address, const Protection& protection) {
  if (address.is_loopback() || protection.is_insecure_allowed) return absl::OkStatus();
  std::vector<std::string> missing;
  if (!protection.has_tls) missing.push_back("TLS (--tls-cert, --tls-key)");
  if (!protection.has_tokens) missing.push_back(absl::StrCat("tokens with roles (", protection.tokens_flag, ")"));
  if (!protection.has_roots) missing.push_back("the folders that jobs may name (--allow-root)");
  if (missing.empty()) return absl::OkStatus();
  return absl::PermissionDeniedError(absl::StrCat(
      flag, ": ", address.ToText(), " can be reached from other machines and lacks ", absl::StrJoin(missing, ", "),
      ". Give them, or listen on a Unix socket or 127.0.0.1 (and reach it through ssh), or say --insecure if the network "
      "and everybody on it are trusted"));
}

absl::Status PrepareAddress(const ListenAddress& address, const char* flag) {
  return address.is_unix ? PrepareUnix(address.path, flag) : PrepareTcp(address, flag);
}

}  // namespace espalier
