// What a restart of the coordinator must not change.
#include "tests/unit/core/fleet.h"

namespace espalier::testing {
namespace {

std::string Undisturbed() {
  Service service(absl::Seconds(60));
  service.Create(SmallJob("a", 3));
  std::vector<FakeWorker> workers = Workers(1);
  RunToEnd(service, "a", workers, Evaluator());
  REQUIRE(service.Get("a").state == JobState::kSucceeded);
  return SearchText(service, "a");
}

TEST_CASE("Restart: a running worker is adopted and its task not run again", "[core]") {
  Service service(absl::Seconds(60));
  service.Create(SmallJob("a", 1));
  FakeWorker worker("w1", CpuWorker(1));
  worker.Call(service);
  const LeaseToken token = worker.held.begin()->first;
  service.Pass(absl::Seconds(50));
  service.Restart();
  CHECK(service.store->epoch() == 2);
  service.Pass(absl::Seconds(50));  // one fresh term, whatever was left
  CHECK(service.CountAttempts(AttemptEnd::kOpen) == 1);
  const SynchronizeResponse response = worker.Call(service);
  CHECK(response.stop.empty());
  CHECK(response.epoch == 2);
  worker.Work(Evaluator());
  worker.Call(service);
  CHECK(worker.LastDecision() == Decision::kCommitted);
  CHECK(service.content->events[0].attempt == token.attempt);
}

TEST_CASE("Restart: a worker that does not come back loses its lease after one fresh term", "[core]") {
  Service service(absl::Seconds(60));
  service.Create(SmallJob("a", 1));
  FakeWorker worker("w1", CpuWorker(1));
  worker.Call(service);
  service.Restart();
  service.Pass(absl::Seconds(61));
  CHECK(service.CountAttempts(AttemptEnd::kExpired) == 1);
  FakeWorker other("w2", CpuWorker(1));
  other.Call(service);
  REQUIRE(other.held.size() == 1);
  CHECK(other.held.begin()->first.attempt == 2);
  CHECK(other.held.begin()->first.epoch == 2);
}

TEST_CASE("Restart: a result that was committed is confirmed to the worker that never heard of it", "[core]") {
  Service service(absl::Seconds(60));
  service.Create(SmallJob("a", 1));
  FakeWorker worker("w1", CpuWorker(1));
  worker.Call(service);
  worker.Work(Evaluator());
  const std::vector<FinishedAttempt> report = worker.finished;
  worker.Call(service);
  service.Restart();
  worker.finished = report;
  worker.Call(service);
  CHECK(worker.LastDecision() == Decision::kCommitted);
}

TEST_CASE("Restart: after any number of restarts, with any number of workers, the search is the same", "[core]") {
  const std::string expected = Undisturbed();
  for (const int num_workers : {1, 4}) {
    for (const uint64_t seed : {1, 2}) {
      CAPTURE(num_workers, seed);
      Service service(absl::Seconds(60));
      service.Create(SmallJob("a", 3));
      std::vector<FakeWorker> workers = Workers(num_workers);
      KeyedRandom random(seed, "faults", {});
      int num_restarts = 0;
      for (int i = 0; i < 20'000 && !IsFinal(service.Get("a").state); ++i) {
        FakeWorker& worker = workers[random.Below(workers.size())];
        if (random.Below(3) != 0) worker.Work(Evaluator());
        worker.Call(service);
        if (random.Below(25) == 0) {  // a worker is killed; another one starts in its place
          FakeWorker fresh(absl::StrCat("x", i), CpuWorker(1));
          SynchronizeRequest death;
          death.worker_id = worker.id;
          death.departure = Departure::kDied;
          REQUIRE_OK(service.core->Synchronize(service.now, death));
          std::vector<FakeWorker> next;
          for (FakeWorker& each : workers) next.push_back(each.id == worker.id ? fresh : each);
          workers.swap(next);
        }
        if (random.Below(12) == 0) {
          service.Restart();
          ++num_restarts;
        }
        service.Pass(absl::Milliseconds(10));
      }
      CHECK(num_restarts > 3);
      REQUIRE(service.Get("a").state == JobState::kSucceeded);
      CHECK(SearchText(service, "a") == expected);
    }
  }
}

TEST_CASE("Restart: an older coordinator over the same store can write nothing any more", "[core]") {
  Service service(absl::Seconds(60));
  service.Create(SmallJob("a", 1));
  FakeWorker worker("w1", CpuWorker(1));
  worker.Call(service);
  worker.Work(Evaluator());
  MemoryJobStore newer(service.content);
  worker.Call(service);
  CHECK(worker.verdicts.empty());  // no verdict: the worker will tell the new one
  CHECK(service.core->Fatal().code() == absl::StatusCode::kAborted);
  CHECK(service.content->events.empty());
}

}  // namespace
}  // namespace espalier::testing
