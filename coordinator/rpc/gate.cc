#include "coordinator/rpc/gate.h"

#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <sys/stat.h>
#include <unistd.h>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/base/files.h"
#include "common/base/sha256.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"

namespace espalier {
namespace {

constexpr char kScheme[] = "Bearer ";

absl::StatusOr<std::string> MakeToken(const std::string& path) {
  unsigned char random[32];
  if (RAND_bytes(random, sizeof(random)) != 1) return absl::InternalError("no random bytes for a token");
  const std::string token =
      absl::BytesToHexString(absl::string_view(reinterpret_cast<const char*>(random), sizeof(random)));
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) return ErrnoStatus("cannot make the token file", path);
  const std::string line = token + "\n";
  const bool is_written = ::write(fd, line.data(), line.size()) == static_cast<ssize_t>(line.size()) && ::fsync(fd) == 0;
  const absl::Status status = is_written ? absl::OkStatus() : ErrnoStatus("cannot write the token file", path);
  ::close(fd);
  if (!status.ok()) return status;
  return token;
}

}  // namespace

absl::Status Gate::Check(const grpc::ServerContextBase& context) const {
  if (!token_.has_value()) return absl::OkStatus();
  const auto& metadata = context.client_metadata();
  const auto found = metadata.find("authorization");
  std::string given;
  if (found != metadata.end()) given.assign(found->second.data(), found->second.size());
  const bool has_scheme = given.rfind(kScheme, 0) == 0;
  // Digests have one length, so that the comparison tells nothing of the token's.
  const std::string given_digest = Sha256Hex(has_scheme ? given.substr(sizeof(kScheme) - 1) : std::string());
  const std::string wanted_digest = Sha256Hex(*token_);
  const bool is_equal = CRYPTO_memcmp(given_digest.data(), wanted_digest.data(), wanted_digest.size()) == 0;
  if (has_scheme && is_equal) return absl::OkStatus();
  return absl::UnauthenticatedError(
      "a token is needed: send the content of the coordinator's token file as 'authorization: Bearer TOKEN'");
}

absl::StatusOr<std::string> ReadOrMakeToken(const std::string& path) {
  struct stat info;
  if (::stat(path.c_str(), &info) != 0) return MakeToken(path);
  if ((info.st_mode & 077) != 0) {
    return absl::PermissionDeniedError(absl::StrCat("others may read the token file '", path, "'; chmod 600 it"));
  }
  ESPALIER_ASSIGN_OR_RETURN(const std::string content, ReadFile(path, 4096));
  const std::string token(absl::StripAsciiWhitespace(content));
  if (token.size() < 16) {
    return absl::InvalidArgumentError(absl::StrCat("the token in '", path, "' is shorter than 16 characters"));
  }
  return token;
}

}  // namespace espalier
