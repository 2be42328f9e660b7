// Leases as a worker sees them.
#include "tests/unit/core/fleet.h"

namespace espalier::testing {
namespace {

TEST_CASE("Coordinator: a worker gets a lease, reports, and the outcome is committed", "[core]") {
  Service service(absl::Seconds(60));
  CHECK(service.Create(SmallJob("a", 1)).state == JobState::kQueued);
  FakeWorker worker("w1", CpuWorker(1));
  const SynchronizeResponse first = worker.Call(service);
  REQUIRE(first.grants.size() == 1);
  CHECK(first.lease_duration == absl::Seconds(60));
  CHECK(first.epoch == 1);
  CHECK(service.Get("a").state == JobState::kRunning);
  CHECK(service.Get("a").numerics_class == "cpu/fp32/1/avx2");
  worker.Work(Evaluator());
  worker.Call(service);
  CHECK(worker.LastDecision() == Decision::kCommitted);
  CHECK(service.content->events.size() == 1);
}

TEST_CASE("Coordinator: a worker that vanishes loses its lease to another", "[core]") {
  Service service(absl::Seconds(60));
  service.Create(SmallJob("a", 1));
  FakeWorker lost("w1", CpuWorker(1));
  FakeWorker other("w2", CpuWorker(1));
  lost.Call(service);
  const LeaseToken token = lost.held.begin()->first;
  service.Pass(absl::Seconds(59));
  CHECK(service.CountAttempts(AttemptEnd::kOpen) == 1);
  service.Pass(absl::Seconds(2));
  CHECK(service.CountAttempts(AttemptEnd::kExpired) == 1);
  other.Call(service);
  REQUIRE(other.held.size() == 1);
  CHECK(other.held.begin()->first.task_id == token.task_id);
  CHECK(other.held.begin()->first.attempt == 2);
}

TEST_CASE("Coordinator: a late result is adopted while nobody was faster", "[core]") {
  Service service(absl::Seconds(60));
  service.Create(SmallJob("a", 1));
  FakeWorker late("w1", CpuWorker(1));
  late.Call(service);
  late.Work(Evaluator());
  service.Pass(absl::Seconds(100));

  SECTION("the task is back in the queue") {
    late.Call(service);
    CHECK(late.LastDecision() == Decision::kCommitted);
  }
  SECTION("another worker has begun it: the first result wins, the other is told to stop") {
    FakeWorker other("w2", CpuWorker(1));
    other.Call(service);
    REQUIRE(other.held.size() == 1);
    const LeaseToken begun = other.held.begin()->first;
    late.Call(service);
    CHECK(late.LastDecision() == Decision::kCommitted);
    const SynchronizeResponse response = other.Call(service);
    REQUIRE(response.stop.size() == 1);
    CHECK(response.stop[0] == begun);
  }
  SECTION("another worker has finished it") {
    FakeWorker other("w2", CpuWorker(1));
    other.Call(service);
    other.Work(Evaluator());
    other.Call(service);
    CHECK(other.LastDecision() == Decision::kCommitted);
    late.Call(service);
    CHECK(late.LastDecision() == Decision::kSuperseded);
    CHECK(service.content->events.size() == 1);
  }
}

TEST_CASE("Coordinator: a worker that was silent keeps its task when nobody else has begun it", "[core]") {
  Service service(absl::Seconds(60));
  service.Create(SmallJob("a", 1));
  FakeWorker worker("w1", CpuWorker(1));
  worker.Call(service);
  const LeaseToken token = worker.held.begin()->first;
  service.Pass(absl::Seconds(100));
  const SynchronizeResponse response = worker.Call(service);
  CHECK(response.stop.empty());
  CHECK(response.grants.empty());
  worker.Work(Evaluator());
  worker.Call(service);
  CHECK(worker.LastDecision() == Decision::kCommitted);
  CHECK(service.content->events[0].attempt == token.attempt);
}

TEST_CASE("Coordinator: the same result twice is committed once and confirmed twice", "[core]") {
  Service service(absl::Seconds(60));
  service.Create(SmallJob("a", 1));
  FakeWorker worker("w1", CpuWorker(1));
  worker.Call(service);
  worker.Work(Evaluator());
  const std::vector<FinishedAttempt> report = worker.finished;
  worker.Call(service);
  worker.finished = report;  // the answer was lost
  worker.Call(service);
  CHECK(worker.LastDecision() == Decision::kCommitted);
  CHECK(service.content->events.size() == 1);
}

TEST_CASE("Coordinator: a lease whose answer was lost is offered again with the same token", "[core]") {
  Service service(absl::Seconds(60));
  service.Create(SmallJob("a", 1));
  FakeWorker worker("w1", CpuWorker(1));
  const SynchronizeResponse lost = worker.Call(service);
  worker.held.clear();
  const SynchronizeResponse again = worker.Call(service);
  REQUIRE(again.grants.size() == 1);
  CHECK(again.grants[0].token == lost.grants[0].token);
  CHECK(service.content->attempts.size() == 1);
}

TEST_CASE("Coordinator: a token counts only from the worker that it was granted to", "[core]") {
  Service service(absl::Seconds(60));
  service.Create(SmallJob("a", 1));
  FakeWorker worker("w1", CpuWorker(1));
  worker.Call(service);
  worker.Work(Evaluator());
  FakeWorker thief("w2", CpuWorker(1));
  thief.finished = worker.finished;
  thief.Call(service);
  CHECK(thief.verdicts.front().decision == Decision::kRejected);
  thief.finished[0].token.attempt = 7;
  thief.Call(service);
  CHECK(thief.LastDecision() == Decision::kRejected);
  CHECK(service.content->events.empty());
}

TEST_CASE("Coordinator: a draining worker gets no more, and what it hands back counts as no failure", "[core]") {
  Service service(absl::Seconds(60));
  service.Create(SmallJob("a", 1));
  FakeWorker worker("w1", CpuWorker(2));
  worker.Call(service);
  REQUIRE(worker.held.size() == 2);
  worker.is_draining = true;
  for (const auto& [token, task] : worker.held) worker.finished.push_back({token, HandedBack{}});
  worker.held.clear();
  const SynchronizeResponse response = worker.Call(service);
  CHECK(response.grants.empty());
  CHECK(worker.LastDecision() == Decision::kNoted);
  CHECK(service.CountAttempts(AttemptEnd::kHandedBack) == 2);
  FakeWorker other("w2", CpuWorker(2));
  other.Call(service);
  CHECK(other.held.size() == 2);
}

TEST_CASE("Coordinator: a death that the supervisor reports ends the leases at once", "[core]") {
  Service service(absl::Seconds(60));
  service.Create(SmallJob("a", 1));
  FakeWorker worker("w1", CpuWorker(1));
  worker.Call(service);
  SynchronizeRequest report;
  report.worker_id = "w1";
  report.departure = Departure::kDied;
  REQUIRE_OK(service.core->Synchronize(service.now, report));
  CHECK(service.CountAttempts(AttemptEnd::kExpired) == 1);
  FakeWorker other("w2", CpuWorker(1));
  other.Call(service);
  CHECK(other.held.size() == 1);
}

TEST_CASE("Coordinator: a worker of another protocol version is refused with the version it needs", "[core]") {
  Service service(absl::Seconds(60));
  WorkerDescription old = CpuWorker(1);
  old.protocol_version = kWorkerProtocolVersion + 1;
  FakeWorker worker("w1", old);
  const auto answer = service.core->Synchronize(service.now, worker.Request());
  REQUIRE(answer.status().code() == absl::StatusCode::kFailedPrecondition);
  CHECK_THAT(std::string(answer.status().message()),
             Catch::Contains(absl::StrCat("needs ", kWorkerProtocolVersion)));
}

TEST_CASE("Coordinator: an idle call waits, and is woken when there is work", "[core]") {
  struct Listener final : CoordinatorListener {
    void OnWorkersReady(const std::vector<std::string>& ids) override { ready = ids; }
    std::vector<std::string> ready;
  };
  Service service(absl::Seconds(60));
  Listener listener;
  service.core->SetListener(&listener);
  FakeWorker worker("w1", CpuWorker(1));
  SynchronizeRequest request = worker.Request();
  request.max_wait = absl::Seconds(10);
  const auto answer = service.core->Synchronize(service.now, request);
  REQUIRE_OK(answer);
  REQUIRE(answer->wait.has_value());
  CHECK(*answer->wait == absl::Seconds(10));
  service.Create(SmallJob("a", 1));
  REQUIRE(listener.ready == std::vector<std::string>{"w1"});
  const auto response = service.core->Collect(service.now, "w1");
  REQUIRE_OK(response);
  CHECK(response->grants.size() == 1);
  service.core->SetListener(nullptr);
}

TEST_CASE("Coordinator: a job keeps to the numerics class that it began with", "[core]") {
  Service service(absl::Seconds(60));
  service.Create(SmallJob("a", 1));
  FakeWorker first("w1", CpuWorker(1));
  first.Call(service);
  WorkerDescription other_class = CpuWorker(1);
  other_class.numerics_class = "cpu/fp32/1/avx512";
  FakeWorker other("w2", other_class);
  CHECK(other.Call(service).grants.empty());
  WorkerDescription cuda = CpuWorker(1);
  cuda.device = DeviceKind::kCuda;
  FakeWorker gpu("w3", cuda);
  CHECK(gpu.Call(service).grants.empty());
}

WorkerDescription OtherClass() {
  WorkerDescription description = CpuWorker(1);
  description.numerics_class = "cpu/fp32/1/avx512";
  return description;
}

TEST_CASE("Coordinator: a job whose first worker is lost before any result goes on with workers of another class", "[core]") {
  Service service(absl::Seconds(60));
  service.Create(SmallJob("a", 1));
  FakeWorker first("w1", CpuWorker(1));
  FakeWorker other("w2", OtherClass());
  first.Call(service);
  REQUIRE(first.held.size() == 1);
  service.Pass(absl::Seconds(61));
  other.Call(service);
  REQUIRE(other.held.size() == 1);
  CHECK(service.Get("a").numerics_class == "cpu/fp32/1/avx512");

  SECTION("the first one comes back with its result: it counts no longer, after a restart neither") {
    const bool is_restarted = GENERATE(false, true);
    if (is_restarted) service.Restart();
    first.Work(Evaluator());
    const auto response = first.Call(service);
    REQUIRE(response.verdicts.size() == 1);
    CHECK(response.verdicts[0].decision == Decision::kSuperseded);
    CHECK_THAT(response.verdicts[0].reason, Catch::Matchers::Contains("another numerics class"));
    CHECK(service.content->events.empty());
    other.Work(Evaluator());
    other.Call(service);
    CHECK(other.LastDecision() == Decision::kCommitted);
  }
  SECTION("the first one goes on with its task: it is told to stop") {
    CHECK(first.Call(service).stop.size() == 1);
  }
}

TEST_CASE("Coordinator: a late result that nobody has replaced binds the job to its worker's class", "[core]") {
  Service service(absl::Seconds(60));
  service.Create(SmallJob("a", 1));
  FakeWorker first("w1", CpuWorker(1));
  FakeWorker other("w2", OtherClass());
  first.Call(service);
  service.Pass(absl::Seconds(61));
  first.Work(Evaluator());
  first.Call(service);
  CHECK(first.LastDecision() == Decision::kCommitted);
  CHECK(other.Call(service).grants.empty());
  CHECK(service.Get("a").numerics_class == "cpu/fp32/1/avx2");
}

TEST_CASE("Coordinator: a report that cannot be true is rejected and the task tried elsewhere", "[core]") {
  Service service(absl::Seconds(60));
  service.Create(SmallJob("a", 1));
  FakeWorker liar("w1", CpuWorker(1));
  FakeWorker honest("w2", CpuWorker(1));
  liar.Call(service);
  const std::string task_id = liar.held.begin()->first.task_id;
  liar.finished.push_back({liar.held.begin()->first, Measurement{}});  // no bank layer
  liar.held.clear();
  SynchronizeRequest request = liar.Request();
  request.draining = true;
  const auto answer = service.core->Synchronize(service.now, request);
  REQUIRE_OK(answer);
  REQUIRE(answer->response.verdicts.size() == 1);
  CHECK(answer->response.verdicts[0].decision == Decision::kRejected);
  CHECK(service.Get("a").state == JobState::kRunning);
  CHECK(service.content->events.empty());
  honest.Call(service);
  REQUIRE(honest.held.size() == 1);
  CHECK(honest.held.begin()->first.task_id == task_id);
}

}  // namespace
}  // namespace espalier::testing
