// Who a caller is and whether he may do what he asks: a token table that follows its file.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "common/security/secret_file.h"
#include "common/security/token_table.h"

namespace espalier {

class TokenAuthority {
 public:
  enum class Format { kOneToken, kTable };
  // A file that was reread or could not be; one sentence without secrets, for the log.
  using OnEvent = std::function<void(const std::string&, bool is_error)>;

  // Reads the file, which must pass CheckSecretFile. It is looked at again at most every `every`, when a call comes in; a
  // changed file replaces the tokens at once, one that is unreadable or wrong leaves the earlier ones in force (said
  // through `on_event`), so that a slip of the pen locks nobody out.
  static absl::StatusOr<std::unique_ptr<TokenAuthority>> FromFile(const std::string& path, Format format,
                                                                  const Clock* clock, absl::Duration every,
                                                                  OnEvent on_event);
  // One token with every role.
  static std::unique_ptr<TokenAuthority> FromToken(std::string_view token);

  // `authorization`: the value of that header ("Bearer TOKEN"); empty when there was none. kUnauthenticated when it is no
  // known token, kPermissionDenied (naming both roles) when its holder has not the role. Thread-safe.
  absl::StatusOr<Identity> Check(std::string_view authorization, Role needed);

 private:
  TokenAuthority() = default;
  absl::StatusOr<TokenTable> Read() const;
  void Refresh();

  std::string path_;
  Format format_ = Format::kTable;
  const Clock* clock_ = nullptr;  // null: the table stays as it is
  absl::Duration every_;
  OnEvent on_event_;

  std::mutex mutex_;
  std::shared_ptr<const TokenTable> table_;  // guarded by mutex_
  FileStamp stamp_;                          // guarded by mutex_
  absl::Time looked_at_;                     // guarded by mutex_
};

}  // namespace espalier
