// Jobs: states, failures, banks, results.
#include <nlohmann/json.hpp>

#include "tests/unit/core/fleet.h"

namespace espalier::testing {
namespace {

TEST_CASE("Job: a search runs to its end and its result is an artifact", "[core]") {
  Service service(absl::Seconds(60));
  service.Create(SmallJob("a", 2));
  std::vector<FakeWorker> workers = {{"w1", CpuWorker(1)}, {"w2", CpuWorker(2)}};
  RunToEnd(service, "a", workers, Evaluator());
  const JobView job = service.Get("a");
  REQUIRE(job.state == JobState::kSucceeded);
  const auto text = service.artifacts->Get(job.result_artifact);
  REQUIRE_OK(text);
  const nlohmann::json json = nlohmann::json::parse(*text);
  CHECK(json["parameters"] == job.result->parameters);
  CHECK(json["mask"].size() == job.ladder.units.size());
  CHECK(json["provenance"]["seed"] == 7);
  CHECK(json["provenance"]["continue_state"] == "FULL");
  // Time is driven here and stands still while the workers work: what counts is that the stages were looked at.
  CHECK(json["stage_seconds"].get<double>() >= json["stage_tail_seconds"].get<double>());
  CHECK(json["stage_tail_seconds"].get<double>() >= 0);
  CHECK(json["uniform"]["parameters"].get<int64_t>() > 0);
  CHECK(workers[0].Call(service).grants.empty());
  // The result survives a restart, where the program is made again when somebody asks.
  service.Restart();
  CHECK(service.Get("a").result->mask_digest == job.result->mask_digest);
}

TEST_CASE("Job: the same request gives the same job, another one under its id is refused", "[core]") {
  Service service(absl::Seconds(60));
  NewJob job = SmallJob("", 1);
  job.request_id = "request-1";
  const std::string id = service.Create(job).job_id;
  CHECK(service.Create(job).job_id == id);
  service.Restart();
  CHECK(service.Create(job).job_id == id);
  CHECK(service.core->ListJobs(service.now).size() == 1);
  job.submitted = "something else";
  CHECK(service.core->CreateJob(service.now, job).status().code() == absl::StatusCode::kAlreadyExists);
  CHECK(service.core->CreateJob(service.now, SmallJob(id, 1)).status().code() == absl::StatusCode::kAlreadyExists);
}

TEST_CASE("Job: a late copy of a request whose job was deleted does not make the job again", "[core]") {
  Service service(absl::Seconds(60));
  NewJob job = SmallJob("a", 1);
  job.request_id = "request-1";
  service.Create(job);
  REQUIRE_OK(service.core->CancelJob(service.now, "a"));
  REQUIRE_OK(service.core->DeleteJob(service.now, "a"));
  for (int start = 0; start < 2; ++start) {
    const absl::Status late = service.core->CreateJob(service.now, job).status();
    CHECK(late.code() == absl::StatusCode::kAlreadyExists);
    CHECK_THAT(std::string(late.message()), Catch::Contains("'request-1' made jobs/a, which was deleted"));
    service.Restart();
  }
  job.request_id = "request-2";
  service.Create(job);  // the name is free
}

TEST_CASE("Job: pausing takes the tasks back, resuming gives them out again", "[core]") {
  Service service(absl::Seconds(60));
  service.Create(SmallJob("a", 1));
  FakeWorker worker("w1", CpuWorker(1));
  worker.Call(service);
  REQUIRE_OK(service.core->PauseJob(service.now, "a"));
  const SynchronizeResponse stopped = worker.Call(service);
  CHECK(stopped.stop.size() == 1);
  CHECK(stopped.grants.empty());
  service.Restart();
  CHECK(service.Get("a").state == JobState::kPaused);
  REQUIRE_OK(service.core->ResumeJob(service.now, "a"));
  CHECK(worker.Call(service).grants.size() == 1);
  CHECK(service.CountAttempts(AttemptEnd::kExpired) == 0);
}

TEST_CASE("Job: after a cancel nothing is leased and late results are dropped", "[core]") {
  Service service(absl::Seconds(60));
  service.Create(SmallJob("a", 1));
  FakeWorker worker("w1", CpuWorker(1));
  worker.Call(service);
  CHECK(service.core->DeleteJob(service.now, "a").code() == absl::StatusCode::kFailedPrecondition);
  REQUIRE_OK(service.core->CancelJob(service.now, "a"));
  worker.Work(Evaluator());
  CHECK(worker.Call(service).grants.empty());
  CHECK(worker.LastDecision() == Decision::kSuperseded);
  CHECK(service.core->ResumeJob(service.now, "a").status().code() == absl::StatusCode::kFailedPrecondition);
  REQUIRE_OK(service.core->DeleteJob(service.now, "a"));
  CHECK(service.core->GetJob(service.now, "a").status().code() == absl::StatusCode::kNotFound);
  CHECK(service.content->attempts.empty());
}

TEST_CASE("Job: a task that keeps killing workers is given up with all its reasons", "[core]") {
  Service service(absl::Seconds(60));
  service.Create(SmallJob("a", 1));
  int num_deaths = 0;
  for (; num_deaths < 20 && service.Get("a").state != JobState::kFailed; ++num_deaths) {
    FakeWorker worker(absl::StrCat("w", num_deaths), CpuWorker(1));
    worker.Call(service);
    service.Pass(absl::Seconds(61));
  }
  const JobView job = service.Get("a");
  REQUIRE(job.state == JobState::kFailed);
  // Killed workers are shared out over three bank layers; twice max_attempts on one of them.
  CHECK(num_deaths >= 2 * job.spec.max_attempts);
  CHECK_THAT(job.failure, Catch::Contains("lost workers") && Catch::Contains("silent for"));
}

TEST_CASE("Job: a failure is tried on another worker first, and wrong input fails the job at once", "[core]") {
  Service service(absl::Seconds(60));
  service.Create(SmallJob("a", 1));
  FakeWorker first("w1", CpuWorker(1));
  FakeWorker second("w2", CpuWorker(1));
  first.Call(service);
  second.Call(service);
  const std::string failed = first.held.begin()->first.task_id;

  SECTION("out of disk space") {
    first.Fail(absl::ResourceExhaustedError("no space left"));
    first.Call(service);
    REQUIRE(first.held.size() == 1);
    CHECK(first.held.begin()->first.task_id != failed);
    CHECK(service.CountAttempts(AttemptEnd::kFailed) == 1);
  }
  SECTION("a model file that is damaged") {
    first.Fail(absl::InvalidArgumentError("model.safetensors: tensor 'x' holds a NaN"));
    first.Call(service);
    CHECK(service.Get("a").state == JobState::kFailed);
    CHECK_THAT(service.Get("a").failure, Catch::Contains("holds a NaN") && Catch::Contains("w1"));
    CHECK(second.Call(service).stop.size() == 1);
  }
  SECTION("model files of another digest, on every worker") {
    for (int i = 0; i < 10 && service.Get("a").state != JobState::kFailed; ++i) {
      for (FakeWorker* worker : {&first, &second}) {
        worker->Fail(absl::FailedPreconditionError("digest differs"));
        worker->Call(service);
      }
    }
    CHECK_THAT(service.Get("a").failure, Catch::Contains("digest differs"));
  }
}

TEST_CASE("Job: the next job with the same bank takes its layers over", "[core]") {
  Service service(absl::Seconds(60));
  // FakeEvaluator names artifacts that nobody wrote.
  for (int layer = 0; layer < 3; ++layer) REQUIRE_OK(service.artifacts->Put(absl::StrCat("layer ", layer)));
  service.Create(SmallJob("a", 1));
  std::vector<FakeWorker> workers = {{"w1", CpuWorker(1)}};
  RunToEnd(service, "a", workers, Evaluator());
  REQUIRE(service.Get("a").state == JobState::kSucceeded);
  CHECK(service.content->bank.size() == 3);

  SECTION("another seed does not matter") {
    NewJob next = SmallJob("b", 1);
    next.resolved.seed = 8;
    service.Create(next);
    CHECK(service.Get("b").progress.step != "bank");
    CHECK(service.Get("b").progress.engine_seconds == 0);  // of the job that built them
    service.Restart();
    CHECK(service.Get("b").progress.engine_seconds == 0);
    RunToEnd(service, "b", workers, Evaluator());
    CHECK(service.Get("b").state == JobState::kSucceeded);
  }
  SECTION("a layer whose artifact is gone is built again") {
    REQUIRE_OK(service.artifacts->Remove(Sha256Hex("layer 1")));
    service.Create(SmallJob("b", 1));
    CHECK(service.Get("b").progress.step == "bank");
    workers[0].Call(service);
    REQUIRE(workers[0].held.size() == 1);
    CHECK(std::get<BankLayerTask>(workers[0].held.begin()->second.payload).layer == 1);
  }
}

TEST_CASE("Job: a damaged bank layer is built again and the search goes on", "[core]") {
  Service service(absl::Seconds(60));
  service.Create(SmallJob("a", 2));
  FakeWorker worker("w1", CpuWorker(1));
  while (service.Get("a").progress.step != "search") {
    worker.Work(Evaluator());
    worker.Call(service);
  }
  REQUIRE(worker.held.size() == 1);
  const TaskFailure damage{absl::DataLossError("a byte differs"), Sha256Hex("layer 2")};
  worker.finished.push_back({worker.held.begin()->first, damage});
  worker.held.clear();
  worker.Call(service);
  REQUIRE(worker.held.size() == 1);
  CHECK(std::get<BankLayerTask>(worker.held.begin()->second.payload).layer == 2);
  std::vector<FakeWorker> workers = {worker};
  RunToEnd(service, "a", workers, Evaluator());
  CHECK(service.Get("a").state == JobState::kSucceeded);
}

TEST_CASE("Job: wall time stops the search, not its end, and pauses do not count", "[core]") {
  Service service(absl::Seconds(60));
  NewJob job = SmallJob("a", 100);
  job.resolved.stop.wall_seconds = 100;
  service.Create(job);
  std::vector<FakeWorker> workers = {{"w1", CpuWorker(1)}};
  while (service.Get("a").progress.step != "search") {
    workers[0].Work(Evaluator());
    workers[0].Call(service);
  }
  REQUIRE_OK(service.core->PauseJob(service.now, "a"));
  service.Pass(absl::Seconds(1000));
  REQUIRE_OK(service.core->ResumeJob(service.now, "a"));
  CHECK(service.Get("a").progress.step == "search");
  CHECK(service.Get("a").elapsed < absl::Seconds(1));
  workers[0].Call(service);
  for (int i = 0; i < 11; ++i) {
    service.Pass(absl::Seconds(10));
    workers[0].Call(service);
  }
  CHECK(service.Get("a").progress.step != "search");
  RunToEnd(service, "a", workers, Evaluator());
  REQUIRE(service.Get("a").state == JobState::kSucceeded);
  CHECK(service.Get("a").result->stopped_because == "wall_time");
}

}  // namespace
}  // namespace espalier::testing
