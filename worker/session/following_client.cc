#include "worker/session/following_client.h"

#include <algorithm>
#include <chrono>
#include <mutex>
#include <utility>

namespace espalier {
namespace {

// At the others a call must be short: what it carries is repeated anyway, and the one that leads may be the next.
constexpr absl::Duration kShortLimit = absl::Seconds(3);

class FollowingClient final : public CoordinatorClient {
 public:
  explicit FollowingClient(std::vector<std::unique_ptr<CoordinatorClient>> clients) : clients_(std::move(clients)) {}

  absl::StatusOr<SynchronizeResponse> Synchronize(const SynchronizeRequest& request, absl::Duration limit) override {
    const auto began = std::chrono::steady_clock::now();
    absl::StatusOr<SynchronizeResponse> reply = At(request, limit);
    SynchronizeRequest short_request;
    for (size_t turn = 1; turn < clients_.size() && IsAbsence(reply.status()); ++turn) {
      // The limit holds for all of them: by then the caller has other things to do.
      const absl::Duration left = limit - absl::FromChrono(std::chrono::steady_clock::now() - began);
      if (left <= absl::ZeroDuration()) break;
      Turn();
      if (turn == 1) {
        short_request = request;
        short_request.max_wait = absl::ZeroDuration();
      }
      reply = At(short_request, std::min(left, kShortLimit));
    }
    if (IsAbsence(reply.status())) Turn();
    return reply;
  }

  void CancelCall() override {
    const std::lock_guard lock(mutex_);
    clients_[current_]->CancelCall();
  }

 private:
  static bool IsAbsence(const absl::Status& status) {
    return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status);
  }

  absl::StatusOr<SynchronizeResponse> At(const SynchronizeRequest& request, absl::Duration limit) {
    CoordinatorClient* client = nullptr;
    {
      const std::lock_guard lock(mutex_);
      client = clients_[current_].get();
    }
    return client->Synchronize(request, limit);
  }

  void Turn() {
    const std::lock_guard lock(mutex_);
    current_ = (current_ + 1) % clients_.size();
  }

  const std::vector<std::unique_ptr<CoordinatorClient>> clients_;
  std::mutex mutex_;
  size_t current_ = 0;  // guarded by mutex_
};

}  // namespace

std::unique_ptr<CoordinatorClient> MakeFollowingClient(std::vector<std::unique_ptr<CoordinatorClient>> clients) {
  return std::make_unique<FollowingClient>(std::move(clients));
}

}  // namespace espalier
