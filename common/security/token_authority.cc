#include "common/security/token_authority.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"

namespace espalier {
namespace {

constexpr int64_t kMaxTableBytes = 8 << 20;
constexpr absl::string_view kScheme = "Bearer ";

}  // namespace

absl::StatusOr<std::unique_ptr<TokenAuthority>> TokenAuthority::FromFile(const std::string& path, Format format,
                                                                         const Clock* clock, absl::Duration every,
                                                                         OnEvent on_event) {
  std::unique_ptr<TokenAuthority> authority(new TokenAuthority());
  authority->path_ = path;
  authority->format_ = format;
  authority->clock_ = clock;
  authority->every_ = every;
  authority->on_event_ = std::move(on_event);
  authority->stamp_ = StampOf(path);
  authority->looked_at_ = clock->Now();
  ESPALIER_ASSIGN_OR_RETURN(TokenTable table, authority->Read());
  authority->table_ = std::make_shared<const TokenTable>(std::move(table));
  return authority;
}

std::unique_ptr<TokenAuthority> TokenAuthority::FromToken(std::string_view token) {
  std::unique_ptr<TokenAuthority> authority(new TokenAuthority());
  authority->table_ = std::make_shared<const TokenTable>(TokenTable::Of(token, "owner"));
  return authority;
}

absl::StatusOr<TokenTable> TokenAuthority::Read() const {
  if (format_ == Format::kOneToken) {
    ESPALIER_ASSIGN_OR_RETURN(const std::string token, ReadToken(path_));
    return TokenTable::Of(token, "owner");
  }
  ESPALIER_ASSIGN_OR_RETURN(const std::string text, ReadSecretFile(path_, kMaxTableBytes));
  return TokenTable::Parse(text, path_);
}

// With the lock held. The stamp is taken before the content, so that a write in between is seen the next time.
void TokenAuthority::Refresh() {
  if (clock_ == nullptr) return;
  const absl::Time now = clock_->Now();
  if (now - looked_at_ < every_) return;
  looked_at_ = now;
  const FileStamp stamp = StampOf(path_);
  if (stamp == stamp_) return;
  stamp_ = stamp;
  absl::StatusOr<TokenTable> table = Read();
  if (!table.ok()) {
    if (on_event_) on_event_(absl::StrCat("the earlier tokens stay in force: ", table.status().message()), true);
    return;
  }
  table_ = std::make_shared<const TokenTable>(*std::move(table));
  if (on_event_) on_event_(absl::StrCat("tokens read again: ", table_->size()), false);
}

absl::StatusOr<Identity> TokenAuthority::Check(std::string_view authorization, Role needed) {
  std::shared_ptr<const TokenTable> table;
  {
    std::lock_guard lock(mutex_);
    Refresh();
    table = table_;
  }
  absl::string_view token = ToAbsl(authorization);
  const bool has_scheme = absl::ConsumePrefix(&token, kScheme);
  const Identity* identity = table->Find(has_scheme ? ToStd(token) : std::string_view());
  if (!has_scheme || identity == nullptr) {
    return absl::UnauthenticatedError(
        "a token is needed that this coordinator knows: name its file with --token-file (on the wire: 'authorization: "
        "Bearer TOKEN')");
  }
  if (identity->roles.Has(needed)) return *identity;
  return absl::PermissionDeniedError(absl::StrCat("the token of '", identity->name, "' has the role ",
                                                  identity->roles.ToText(), "; this needs the role ", Name(needed)));
}

}  // namespace espalier
