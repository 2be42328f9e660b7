// Calls that are handled together: one transaction for what does not bear on each other, and the same search.
#include "tests/unit/core/fleet.h"

namespace espalier::testing {
namespace {

// Calls of all workers at once.
void CallTogether(Service& service, std::vector<FakeWorker>& workers) {
  std::vector<SynchronizeRequest> sent;
  for (const FakeWorker& worker : workers) sent.push_back(worker.Request());
  std::vector<const SynchronizeRequest*> requests;
  for (const SynchronizeRequest& request : sent) requests.push_back(&request);
  const auto answers = service.core->SynchronizeAll(service.now, requests);
  for (size_t i = 0; i < workers.size(); ++i) {
    REQUIRE_OK(answers[i]);
    workers[i].Apply(answers[i]->response);
  }
}

int CountCommits(const std::vector<FakeWorker>& workers) {
  int count = 0;
  for (const FakeWorker& worker : workers) {
    count += static_cast<int>(std::count_if(worker.verdicts.begin(), worker.verdicts.end(), [](const Verdict& verdict) {
      return verdict.decision == Decision::kCommitted;
    }));
  }
  return count;
}

// Counts the transactions that commit events; the next one can be made to fail, before or after it was written.
class WatchedStore final : public MemoryJobStore {
 public:
  using MemoryJobStore::MemoryJobStore;
  absl::StatusOr<std::vector<int64_t>> CommitAll(const std::vector<EventCommit>& commits) override {
    ++num_transactions;
    num_events += static_cast<int>(commits.size());
    if (std::exchange(fails_before, false)) return absl::ResourceExhaustedError("the disk is full");
    const auto written = MemoryJobStore::CommitAll(commits);
    if (std::exchange(fails_after, false)) return absl::ResourceExhaustedError("the answer was lost");
    return written;
  }
  int num_transactions = 0;
  int num_events = 0;
  bool fails_before = false;
  bool fails_after = false;
};

// A service whose store is watched from now on.
WatchedStore* Watch(Service& service) {
  auto store = std::make_unique<WatchedStore>(service.content);
  WatchedStore* watched = store.get();
  service.Restart(std::move(store));
  return watched;
}

TEST_CASE("Together: a search whose workers all call at once is the one of a single worker", "[core]") {
  Service alone(absl::Seconds(60));
  alone.Create(SmallJob("a", 3));
  std::vector<FakeWorker> one;
  one.emplace_back("w", CpuWorker(1));
  RunToEnd(alone, "a", one, Evaluator());
  REQUIRE(alone.Get("a").state == JobState::kSucceeded);

  Service service(absl::Seconds(60));
  WatchedStore* store = Watch(service);
  service.Create(SmallJob("a", 3));
  std::vector<FakeWorker> workers = Workers(6, 2);
  for (int i = 0; i < 5'000 && !IsFinal(service.Get("a").state); ++i) {
    for (FakeWorker& worker : workers) worker.Work(Evaluator());
    CallTogether(service, workers);
    service.Pass(absl::Milliseconds(10));
  }
  REQUIRE(service.Get("a").state == JobState::kSucceeded);
  CHECK(SearchText(service, "a") == SearchText(alone, "a"));
  CHECK(store->num_events == static_cast<int>(service.content->events.size()));
  CHECK(CountCommits(workers) == store->num_events);
  CHECK(store->num_transactions * 2 < store->num_events);
}

TEST_CASE("Together: outcomes of two jobs are one transaction", "[core]") {
  Service service(absl::Seconds(60));
  WatchedStore* store = Watch(service);
  service.Create(SmallJob("a", 1));
  service.Create(SmallJob("b", 1));
  std::vector<FakeWorker> workers = Workers(1, 2);
  CallTogether(service, workers);
  REQUIRE(workers[0].held.size() == 2);
  REQUIRE(workers[0].held.begin()->first.job_id != workers[0].held.rbegin()->first.job_id);
  workers[0].Work(Evaluator());
  CallTogether(service, workers);
  CHECK(CountCommits(workers) == 2);
  CHECK(store->num_transactions == 1);
}

TEST_CASE("Together: when the transaction fails nobody gets a verdict, and the repeated reports are committed once",
          "[core]") {
  const bool was_written = GENERATE(false, true);
  CAPTURE(was_written);
  Service service(absl::Seconds(60));
  WatchedStore* store = Watch(service);
  service.Create(SmallJob("a", 1));
  std::vector<FakeWorker> workers = Workers(1, 2);
  CallTogether(service, workers);
  REQUIRE(workers[0].held.size() == 2);
  workers[0].Work(Evaluator());
  (was_written ? store->fails_after : store->fails_before) = true;
  CallTogether(service, workers);
  CHECK(workers[0].verdicts.empty());
  CHECK(workers[0].finished.size() == 2);
  service.Pass(absl::Seconds(1));
  CallTogether(service, workers);
  CHECK(CountCommits(workers) == 2);
  CHECK(service.content->events.size() == 2);
}

TEST_CASE("Together: a worker that reports and leaves has its outcome committed", "[core]") {
  Service service(absl::Seconds(60));
  service.Create(SmallJob("a", 1));
  FakeWorker worker("w", CpuWorker(1));
  worker.Call(service);
  worker.Work(Evaluator());
  SynchronizeRequest request = worker.Request();
  request.departure = Departure::kLeaves;
  const auto answer = service.core->Synchronize(service.now, request);
  REQUIRE_OK(answer);
  REQUIRE(answer->response.verdicts.size() == 1);
  CHECK(answer->response.verdicts[0].decision == Decision::kCommitted);
  CHECK(service.CountAttempts(AttemptEnd::kCommitted) == 1);
  CHECK(service.core->ListWorkers(service.now).empty());
}

TEST_CASE("Together: busy workers of a large fleet call less often, within a third of the lease", "[core]") {
  Service service(absl::Seconds(60));
  service.Create(SmallJob("a", 1));
  FakeWorker busy("busy", CpuWorker(1));
  busy.Call(service);
  REQUIRE(busy.held.size() == 1);
  CHECK(busy.Call(service).next_call == absl::Seconds(5));
  const auto grow = [&](int from, int to) {
    std::vector<FakeWorker> others;
    for (int i = from; i < to; ++i) others.emplace_back(absl::StrCat("other", i), CpuWorker(1));
    CallTogether(service, others);
  };
  grow(0, 2'000);
  CHECK(busy.Call(service).next_call == absl::Seconds(5));
  grow(2'000, 4'999);
  CHECK(busy.Call(service).next_call == absl::Seconds(10));
  grow(4'999, 15'000);
  CHECK(busy.Call(service).next_call == absl::Seconds(20));
}

}  // namespace
}  // namespace espalier::testing
