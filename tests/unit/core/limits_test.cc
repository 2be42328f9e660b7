// Priorities, shares, requirements, quarantine and how much is taken on.
#include "coordinator/search/job_windows.h"
#include "tests/unit/core/fleet.h"

namespace espalier::testing {
namespace {

int HeldOf(const std::vector<FakeWorker>& workers, const std::string& job_id) {
  int count = 0;
  for (const FakeWorker& worker : workers) {
    for (const auto& [token, task] : worker.held) count += token.job_id == job_id ? 1 : 0;
  }
  return count;
}

TEST_CASE("Limits: priority, weight and number of workers say who gets workers, and change no mask", "[core]") {
  std::string alone;
  {
    Service service(absl::Seconds(60));
    service.Create(SmallJob("b", 2));
    std::vector<FakeWorker> workers = Workers(2);
    RunToEnd(service, "b", workers, Evaluator());
    alone = SearchText(service, "b");
  }
  Service service(absl::Seconds(60));
  service.Create(SmallJob("a", 2));
  NewJob second = SmallJob("b", 2);
  std::vector<FakeWorker> workers = Workers(3);
  SECTION("a higher priority") {
    second.resolved.priority = 1;
    service.Create(second);
    for (FakeWorker& worker : workers) worker.Call(service);
    CHECK(HeldOf(workers, "b") == 3);
  }
  SECTION("the same priority and weight: both get some") {
    service.Create(second);
    for (FakeWorker& worker : workers) worker.Call(service);
    CHECK(HeldOf(workers, "a") == 2);
    CHECK(HeldOf(workers, "b") == 1);
  }
  SECTION("at most one worker") {
    second.resolved.priority = 1;
    second.resolved.max_workers = 1;
    service.Create(second);
    for (FakeWorker& worker : workers) worker.Call(service);
    CHECK(HeldOf(workers, "b") == 1);
    CHECK(HeldOf(workers, "a") == 2);
  }
  RunToEnd(service, "b", workers, Evaluator());
  RunToEnd(service, "a", workers, Evaluator());
  CHECK(SearchText(service, "b") == alone);
}

TEST_CASE("Limits: over time two jobs share one worker by their weights", "[core]") {
  Service service(absl::Seconds(600));
  service.Create(SmallJob("a", 20));
  NewJob heavy = SmallJob("b", 20);
  heavy.resolved.weight = 3;
  service.Create(heavy);
  FakeWorker worker("w1", CpuWorker(1));
  std::map<std::string, int> done;
  for (int i = 0; i < 80; ++i) {
    worker.Call(service);
    REQUIRE(worker.held.size() == 1);
    ++done[worker.held.begin()->first.job_id];
    service.Pass(absl::Seconds(5));
    worker.Work(Evaluator());
  }
  CHECK(done["a"] >= 18);
  CHECK(done["a"] <= 22);
}

TEST_CASE("Limits: a job that no worker can satisfy says what it waits for", "[core]") {
  Service service(absl::Seconds(60));
  NewJob job = SmallJob("a", 1);
  job.resolved.minimum_device_memory = 40'000'000'000;
  service.Create(job);
  WorkerDescription small = CpuWorker(1);
  small.memory_bytes = 24'000'000'000;
  FakeWorker worker("w1", small);
  CHECK(worker.Call(service).grants.empty());
  CHECK_THAT(service.Get("a").waiting_for,
             Catch::Contains("waiting for a worker with at least 40.0 GB") && Catch::Contains("24.0 GB"));
  WorkerDescription large = CpuWorker(1);
  large.memory_bytes = 80'000'000'000;
  FakeWorker other("w2", large);
  CHECK(other.Call(service).grants.size() == 1);
  CHECK(service.Get("a").waiting_for.empty());
}

TEST_CASE("Limits: jobs beyond the limits are refused, and an ended one makes room", "[core]") {
  Service service(absl::Seconds(60));
  service.options.limits.max_active_jobs = 3;
  service.options.limits.max_active_jobs_per_caller = 2;
  service.Restart();
  const auto create = [&](const std::string& id, const std::string& caller) {
    NewJob job = SmallJob(id, 1);
    job.caller = caller;
    job.request_id = "request " + id;
    return service.core->CreateJob(service.now, job).status();
  };
  REQUIRE_OK(create("a", "ann"));
  REQUIRE_OK(create("b", "ann"));
  const absl::Status mine = create("c", "ann");
  CHECK(mine.code() == absl::StatusCode::kResourceExhausted);
  CHECK_THAT(std::string(mine.message()), Catch::Contains("you have 2 jobs") && Catch::Contains("cancel"));
  REQUIRE_OK(create("d", "bob"));
  CHECK_THAT(std::string(create("e", "eve").message()), Catch::Contains("the coordinator has 3 jobs"));
  REQUIRE_OK(create("a", "ann"));  // the same request once more is no new job
  REQUIRE_OK(service.core->CancelJob(service.now, "a"));
  REQUIRE_OK(create("c", "ann"));
}

TEST_CASE("Limits: the windows that a caller's jobs read have a limit, and the refusal names the field and its value", "[core]") {
  Service service(absl::Seconds(60));
  const auto create = [&](const std::string& id, const std::string& caller, int64_t recovery_tokens) {
    NewJob job = SmallJob(id, 1);
    job.caller = caller;
    job.resolved.recovery.tokens = recovery_tokens;
    job.resolved.recovery.train.learning_rate = 1e-4;
    return service.core->CreateJob(service.now, job).status();
  };
  // What one without recovery takes; then a limit under which two with ten times as much fit, and no third.
  NewJob without = SmallJob("a", 1);
  without.resolved.recovery.tokens = 0;
  const int length = without.resolved.sequence_length;
  const auto preview = ResolveJob(without.resolved, without.inputs);
  REQUIRE_OK(preview);
  const auto plain = static_cast<int64_t>(WindowsOfJob(*preview).total);
  REQUIRE(plain > 10);
  const int64_t much = 10 * plain;
  service.options.limits.max_windows_per_caller = 2 * (plain + much) + plain;
  service.Restart();
  REQUIRE_OK(create("a", "ann", much * length));
  REQUIRE_OK(create("b", "ann", much * length));
  const absl::Status third = create("c", "ann", much * length);
  CHECK(third.code() == absl::StatusCode::kResourceExhausted);
  CHECK_THAT(std::string(third.message()), Catch::StartsWith(absl::StrCat("recovery.tokens is ", much * length, ":")) &&
                                               Catch::Contains("--max-windows-per-caller") && Catch::Contains("cancel"));
  REQUIRE_OK(create("d", "bob", much * length));  // another's
  REQUIRE_OK(service.core->CancelJob(service.now, "a"));
  REQUIRE_OK(create("c", "ann", much * length));
  // One that no waiting would help, up to a slip of the largest number there is.
  for (const int64_t tokens : {3 * (plain + much) * length, int64_t{1'000'000'000'000'000}}) {
    const absl::Status alone = create("e", "eve", tokens);
    CHECK(alone.code() == absl::StatusCode::kInvalidArgument);
    CHECK_THAT(std::string(alone.message()), Catch::StartsWith(absl::StrCat("recovery.tokens is ", tokens, ":")));
  }
  CHECK(service.core->GetJob(service.now, "e").status().code() == absl::StatusCode::kNotFound);
}

TEST_CASE("Limits: a worker beyond the limit, or with too much to say, is refused", "[core]") {
  Service service(absl::Seconds(60));
  service.options.limits.max_workers = 1;
  service.options.limits.max_states = 2;
  service.Restart();
  FakeWorker first("w1", CpuWorker(1));
  first.Call(service);
  const auto code = [&](const FakeWorker& worker) {
    return service.core->Synchronize(service.now, worker.Request()).status().code();
  };
  CHECK(code(FakeWorker("w2", CpuWorker(1))) == absl::StatusCode::kResourceExhausted);
  CHECK(code(first) == absl::StatusCode::kOk);
  first.states.resize(3);
  CHECK(code(first) == absl::StatusCode::kInvalidArgument);
}

TEST_CASE("Limits: a worker that fails what others do gets no more leases for a while", "[core]") {
  Service service(absl::Seconds(60));
  service.Create(SmallJob("a", 3));
  FakeWorker bad("bad", CpuWorker(1));
  FakeWorker good("good", CpuWorker(1));
  bad.Call(service);
  good.Call(service);
  for (int i = 0; i < 30 && service.core->ListWorkers(service.now)[0].quarantine_reasons.empty(); ++i) {
    bad.Fail(absl::InternalError("the device is broken"));
    bad.Call(service);
    good.Work(Evaluator());
    good.Call(service);
    service.Pass(absl::Seconds(1));
  }
  const std::vector<WorkerView> views = service.core->ListWorkers(service.now);
  REQUIRE(views[0].worker_id == "bad");
  REQUIRE(views[0].quarantine_reasons.size() == 3);
  CHECK_THAT(views[0].quarantine_reasons[0], Catch::Contains("the device is broken") && Catch::Contains("worker good"));
  CHECK(views[0].quarantine_left > absl::Minutes(9));
  CHECK(views[1].quarantine_reasons.empty());
  bad.Fail(absl::InternalError("the device is broken"));
  CHECK(bad.Call(service).grants.empty());

  SECTION("the search ends without it, as it would have") {
    std::vector<FakeWorker> workers = {good};
    RunToEnd(service, "a", workers, Evaluator());
    CHECK(service.Get("a").state == JobState::kSucceeded);
    CHECK(service.Get("a").failed_tasks.empty());
  }
  SECTION("its term ends") {
    good.held.clear();
    for (int i = 0; i < 11; ++i) {
      service.Pass(absl::Minutes(1));
      bad.Call(service);
    }
    CHECK(bad.held.size() == 1);
  }
  SECTION("restarted it is another worker") {
    service.Pass(absl::Minutes(2));  // what `good` held is free again
    FakeWorker again("bad, restarted", CpuWorker(1));
    CHECK(again.Call(service).grants.size() == 1);
  }
}

TEST_CASE("Limits: a task that fails on several workers fails the job with the reason of each", "[core]") {
  Service service(absl::Seconds(60));
  service.Create(SmallJob("a", 1));
  std::vector<FakeWorker> workers = Workers(3);
  for (int i = 0; i < 30 && service.Get("a").state != JobState::kFailed; ++i) {
    FakeWorker& worker = workers[i % 3];
    worker.Fail(absl::InternalError("fault of " + worker.id));
    worker.Call(service);
  }
  REQUIRE(service.Get("a").state == JobState::kFailed);
  const std::string why = service.Get("a").failure;
  for (const FakeWorker& worker : workers) CHECK_THAT(why, Catch::Contains("worker " + worker.id + ": INTERNAL: fault of"));
  for (const WorkerView& view : service.core->ListWorkers(service.now)) CHECK(view.quarantine_reasons.empty());
}

}  // namespace
}  // namespace espalier::testing
