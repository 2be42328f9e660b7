// The tokens that a coordinator accepts. One line each:
//
//   ROLE TOKEN NAME        # ROLE: read, submit or work; NAME: who holds it, for the log
//
// TOKEN is the token itself (16 to 512 printable characters) or "sha256:" and its SHA-256 in hexadecimal, so that the
// coordinator's machine need not know it. A token in several lines has the roles of all of them (its name must be the
// same). Blank lines and lines that begin with '#' are skipped.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/security/role.h"

namespace espalier {

struct Identity {
  std::string name;
  Roles roles;
};

class TokenTable {
 public:
  // kInvalidArgument names the file and the line, never what stands there.
  static absl::StatusOr<TokenTable> Parse(std::string_view text, const std::string& file_name);
  // One token with every role.
  static TokenTable Of(std::string_view token, std::string name);

  // Null when nobody has the token. Every entry is compared, each in constant time, whatever was found before.
  const Identity* Find(std::string_view token) const;
  size_t size() const { return entries_.size(); }

 private:
  using Digest = std::array<unsigned char, 32>;
  struct Entry {
    Digest digest;
    Identity identity;
  };
  static Digest DigestOf(std::string_view token);

  std::vector<Entry> entries_;
};

}  // namespace espalier
