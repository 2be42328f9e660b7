#include "common/security/token_table.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <algorithm>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/base/check.h"
#include "common/base/strings.h"

namespace espalier {
namespace {

constexpr absl::string_view kHashed = "sha256:";
constexpr size_t kMinTokenBytes = 16;
constexpr size_t kMaxTokenBytes = 512;
constexpr size_t kMaxNameBytes = 64;
constexpr size_t kMaxTokens = 10'000;

bool IsPrintable(absl::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < 0x7f; });
}

bool IsName(absl::string_view text) {
  return !text.empty() && text.size() <= kMaxNameBytes && std::all_of(text.begin(), text.end(), [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '_' || c == '-' || c == '@';
  });
}

}  // namespace

TokenTable::Digest TokenTable::DigestOf(std::string_view token) {
  Digest digest;
  ESPALIER_CHECK(EVP_Digest(token.data(), token.size(), digest.data(), nullptr, EVP_sha256(), nullptr) == 1);
  return digest;
}

absl::StatusOr<TokenTable> TokenTable::Parse(std::string_view text, const std::string& file_name) {
  TokenTable table;
  int number = 0;
  for (absl::string_view line : absl::StrSplit(ToAbsl(text), '\n')) {
    ++number;
    const auto fail = [&](absl::string_view what) {
      return absl::InvalidArgumentError(absl::StrCat("'", file_name, "', line ", number, ": ", what));
    };
    line = absl::StripAsciiWhitespace(line);
    if (line.empty() || line.front() == '#') continue;
    const std::vector<absl::string_view> words = absl::StrSplit(line, absl::ByAnyChar(" \t"), absl::SkipEmpty());
    if (words.size() != 3) return fail("has not three words: role, token (or sha256:DIGEST), name");
    const absl::StatusOr<Role> role = ParseRole(ToStd(words[0]));
    if (!role.ok()) return fail(role.status().message());
    if (!IsName(words[2])) return fail("the name is not 1 to 64 letters, digits, '.', '_', '-' or '@'");
    Digest digest;
    absl::string_view token = words[1];
    if (absl::ConsumePrefix(&token, kHashed)) {
      const bool is_hex =
          token.size() == 64 && std::all_of(token.begin(), token.end(), [](unsigned char c) { return std::isxdigit(c); });
      if (!is_hex) return fail("after sha256: come not 64 hexadecimal digits");
      const std::string raw = absl::HexStringToBytes(token);
      std::copy(raw.begin(), raw.end(), digest.begin());
    } else {
      if (token.size() < kMinTokenBytes || token.size() > kMaxTokenBytes || !IsPrintable(token)) {
        return fail("the token is not 16 to 512 printable characters");
      }
      digest = DigestOf(ToStd(token));
    }
    const std::string name = ToString(words[2]);
    const auto known = std::find_if(table.entries_.begin(), table.entries_.end(),
                                    [&](const Entry& entry) { return entry.digest == digest; });
    if (known == table.entries_.end()) {
      if (table.entries_.size() == kMaxTokens) return fail("more than 10000 tokens");
      table.entries_.push_back({digest, {name, {}}});
      table.entries_.back().identity.roles.Grant(*role);
    } else {
      if (known->identity.name != name) return fail("the same token has another name in an earlier line");
      known->identity.roles.Grant(*role);
    }
  }
  if (table.entries_.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("'", file_name, "' holds no token, so nobody could call"));
  }
  return table;
}

TokenTable TokenTable::Of(std::string_view token, std::string name) {
  TokenTable table;
  table.entries_.push_back({DigestOf(token), {std::move(name), Roles::All()}});
  return table;
}

const Identity* TokenTable::Find(std::string_view token) const {
  const Digest digest = DigestOf(token);  // of one length, so that the comparison tells nothing of the token's
  const Identity* found = nullptr;
  for (const Entry& entry : entries_) {
    if (CRYPTO_memcmp(entry.digest.data(), digest.data(), digest.size()) == 0) found = &entry.identity;
  }
  return found;
}

}  // namespace espalier
