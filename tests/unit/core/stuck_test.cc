// A task whose worker calls and calls, and gets no further.
#include "tests/unit/core/fleet.h"

namespace espalier::testing {
namespace {

constexpr absl::Duration kLimit = absl::Minutes(10);

struct StuckService : Service {
  StuckService() : Service(absl::Seconds(60)) {
    options.stuck_after = kLimit;
    Restart();
    Create(SmallJob("a", 1));
  }
  // Calls every half lease; `done` says how far it is. What is told to stop is not held any more afterwards.
  SynchronizeResponse Hold(FakeWorker& worker, absl::Duration duration, int64_t done, int64_t step) {
    SynchronizeResponse last;
    for (const absl::Time end = now + duration; now < end;) {
      Pass(absl::Seconds(30));
      SynchronizeRequest request = worker.Request();
      for (HeldLease& held : request.held) held.progress = {"train", done, 1'000'000, 0, 0};
      done += step;
      const auto answer = core->Synchronize(now, request);
      REQUIRE_OK(answer);
      last = answer->response;
      worker.Apply(last);
      if (!last.stop.empty()) break;
    }
    return last;
  }
};

TEST_CASE("Stuck: a task without progress is taken away, its worker is told, and another worker does it", "[core]") {
  StuckService service;
  FakeWorker stuck("w1", CpuWorker(1));
  stuck.Call(service);
  REQUIRE(stuck.held.size() == 1);
  const LeaseToken token = stuck.held.begin()->first;
  CHECK(service.Hold(stuck, kLimit - absl::Minutes(1), 7, 0).stop.empty());
  const SynchronizeResponse told = service.Hold(stuck, absl::Minutes(3), 7, 0);
  REQUIRE(told.stop.size() == 1);
  CHECK(told.stop[0] == token);
  CHECK(service.CountAttempts(AttemptEnd::kFailed) == 1);
  const auto& attempts = service.content->attempts;
  CHECK_THAT(attempts[0].reason, Catch::Contains("no progress for"));

  std::vector<FakeWorker> others = {{"w2", CpuWorker(1)}};
  RunToEnd(service, "a", others, Evaluator());
  CHECK(service.Get("a").state == JobState::kSucceeded);
}

TEST_CASE("Stuck: a worker that goes on claiming the task does not get it back", "[core]") {
  StuckService service;
  FakeWorker stuck("w1", CpuWorker(1));
  stuck.Call(service);
  const auto held = stuck.held;
  const LeaseToken token = held.begin()->first;
  REQUIRE_FALSE(service.Hold(stuck, 2 * kLimit, 7, 0).stop.empty());
  stuck.held = held;  // it did not listen
  const SynchronizeResponse again = stuck.Call(service);
  CHECK(std::find(again.stop.begin(), again.stop.end(), token) != again.stop.end());
}

TEST_CASE("Stuck: however long a task is, it stays where it is as long as it moves", "[core]") {
  StuckService service;
  FakeWorker slow("w1", CpuWorker(1));
  slow.Call(service);
  REQUIRE(slow.held.size() == 1);
  CHECK(service.Hold(slow, 20 * kLimit, 1, 1).stop.empty());
  CHECK(slow.held.size() == 1);
  CHECK(service.CountAttempts(AttemptEnd::kOpen) == 1);
}

}  // namespace
}  // namespace espalier::testing
