#include "worker/session/following_client.h"

#include "common/base/address_list.h"
#include "tests/support/catch.h"

namespace espalier {
namespace {

class Coordinator final : public CoordinatorClient {
 public:
  absl::StatusOr<SynchronizeResponse> Synchronize(const SynchronizeRequest& request, absl::Duration limit) override {
    ++num_calls;
    last_wait = request.max_wait;
    last_limit = limit;
    if (!status.ok()) return status;
    return SynchronizeResponse();
  }
  void CancelCall() override { ++num_cancels; }

  absl::Status status;
  int num_calls = 0;
  int num_cancels = 0;
  absl::Duration last_wait;
  absl::Duration last_limit;
};

struct Fleet {
  Fleet() {
    std::vector<std::unique_ptr<CoordinatorClient>> clients;
    for (int i = 0; i < 3; ++i) {
      auto client = std::make_unique<Coordinator>();
      coordinators.push_back(client.get());
      clients.push_back(std::move(client));
    }
    client = MakeFollowingClient(std::move(clients));
    request.max_wait = absl::Seconds(20);
  }
  absl::Status Call() { return client->Synchronize(request, absl::Seconds(30)).status(); }

  std::vector<Coordinator*> coordinators;
  std::unique_ptr<CoordinatorClient> client;
  SynchronizeRequest request;
};

TEST_CASE("FollowingClient: the one that leads is found within a call and kept") {
  Fleet fleet;
  fleet.coordinators[0]->status = absl::UnavailableError("stands by");
  fleet.coordinators[1]->status = absl::DeadlineExceededError("stopped");
  REQUIRE_OK(fleet.Call());
  REQUIRE_OK(fleet.Call());
  CHECK(fleet.coordinators[0]->num_calls == 1);
  CHECK(fleet.coordinators[1]->num_calls == 1);
  CHECK(fleet.coordinators[1]->last_wait == absl::ZeroDuration());  // asked shortly: others may be waiting to be asked
  CHECK(fleet.coordinators[1]->last_limit <= absl::Seconds(3));
  CHECK(fleet.coordinators[2]->num_calls == 2);
  CHECK(fleet.coordinators[2]->last_wait == absl::Seconds(20));
}

TEST_CASE("FollowingClient: when nobody leads each is asked once, and the call fails") {
  Fleet fleet;
  for (Coordinator* coordinator : fleet.coordinators) coordinator->status = absl::UnavailableError("stands by");
  CHECK(fleet.Call().code() == absl::StatusCode::kUnavailable);
  for (Coordinator* coordinator : fleet.coordinators) CHECK(coordinator->num_calls == 1);
}

TEST_CASE("FollowingClient: a refusal is an answer, and a cancelled call goes nowhere else") {
  Fleet fleet;
  fleet.coordinators[0]->status = absl::PermissionDeniedError("no");
  CHECK(fleet.Call().code() == absl::StatusCode::kPermissionDenied);
  fleet.coordinators[0]->status = absl::CancelledError("news");
  CHECK(fleet.Call().code() == absl::StatusCode::kCancelled);
  fleet.client->CancelCall();
  CHECK(fleet.coordinators[0]->num_cancels == 1);
  CHECK(fleet.coordinators[1]->num_calls == 0);
}

TEST_CASE("Address lists: parts are trimmed, empty ones left out") {
  CHECK(SplitAddresses("a:1, unix:/b,,") == std::vector<std::string>{"a:1", "unix:/b"});
  CHECK(SplitAddresses(" ,").empty());
}

}  // namespace
}  // namespace espalier
