#include "coordinator/access_log.h"

#include <spdlog/spdlog.h>

#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace espalier {
namespace {

// The peer of a Unix socket is its path, or nothing.
std::string PeerForLog(const std::string& peer) {
  return peer.empty() || absl::StartsWith(peer, "unix:") ? "this machine" : peer;
}

}  // namespace

void AccessLog::OnAllowed(const char* method, Role role, const std::string& who, const std::string& peer) {
  if (role != Role::kSubmit) return;
  spdlog::info("{} by {} from {}", method, who.empty() ? "this user" : who, PeerForLog(peer));
}

void AccessLog::OnRefused(const char* method, const absl::Status& why, const std::string& peer) {
  std::string more;
  {
    std::lock_guard lock(mutex_);
    const absl::Time now = clock_.Now();
    if (now - last_refusal_ < absl::Seconds(1)) {
      ++left_out_;
      return;
    }
    last_refusal_ = now;
    if (const int64_t count = std::exchange(left_out_, 0); count > 0) more = absl::StrCat(" (and ", count, " before it)");
  }
  spdlog::warn("{} refused to {}: {}{}", method, PeerForLog(peer), absl::StatusCodeToString(why.code()), more);
}

}  // namespace espalier
