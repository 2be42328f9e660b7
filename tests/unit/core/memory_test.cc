// A job whose recovery fits no known worker is refused when it is submitted.
#include "tests/unit/core/fleet.h"

namespace espalier::testing {
namespace {

WorkerDescription CudaWorker(int64_t memory_bytes) {
  WorkerDescription description = CpuWorker(1);
  description.device = DeviceKind::kCuda;
  description.numerics_class = "cuda/bf16/1/sm_90";
  description.memory_bytes = memory_bytes;
  return description;
}

NewJob Job(const std::string& job_id, DeviceKind device, int64_t recovery_tokens) {
  NewJob job = SmallJob(job_id, 1);
  job.resolved.device = device;
  job.resolved.recovery.tokens = recovery_tokens;
  job.resolved.recovery.tokens_per_step = 1024;
  job.resolved = Resolved(job.resolved, job.inputs);
  return job;
}

int64_t Need(const NewJob& job) {
  const auto preview = ResolveJob(job.resolved, job.inputs);
  REQUIRE_OK(preview);
  return LeastMemory(job.resolved, SizeOf(*preview)).bytes;
}

absl::Status Create(Service& service, const NewJob& job) { return service.core->CreateJob(service.now, job).status(); }

TEST_CASE("Memory: recovery that no known worker has the memory for is refused with both numbers", "[core]") {
  Service service(absl::Seconds(60));
  const NewJob job = Job("a", DeviceKind::kCuda, 4096);
  const int64_t need = Need(job);
  FakeWorker("small", CudaWorker(need - need / 8)).Call(service);
  FakeWorker("smaller", CudaWorker(need / 2)).Call(service);
  FakeWorker("a CPU does not count", CpuWorker(1)).Call(service);

  const absl::Status refused = Create(service, job);
  CHECK(refused.code() == absl::StatusCode::kFailedPrecondition);
  CHECK_THAT(std::string(refused.message()),
             Catch::Contains("recovery.tokens is 4096") && Catch::Contains("at least " + MemoryText(need)) &&
                 Catch::Contains("the largest worker known has " + MemoryText(need - need / 8)) &&
                 Catch::Contains("a larger card, a smaller target or no recovery tokens"));
  CHECK(service.core->ListJobs(service.now).empty());
  CHECK(service.content->jobs.empty());

  SECTION("a larger worker comes, and the same request is taken") {
    FakeWorker("large", CudaWorker(need)).Call(service);
    REQUIRE_OK(Create(service, job));
  }
  SECTION("a worker that does not say its memory may be large enough") {
    FakeWorker("silent", CudaWorker(0)).Call(service);
    REQUIRE_OK(Create(service, job));
  }
  SECTION("without recovery tokens a job waits, as it may, and a dry run says so") {
    const NewJob waiting = Job("b", DeviceKind::kCuda, 0);
    REQUIRE_OK(Create(service, waiting));
    CHECK_THAT(service.Get("b").waiting_for, Catch::Contains("waiting for a worker with at least " + MemoryText(need)));
    const auto preview = ResolveJob(waiting.resolved, waiting.inputs);
    REQUIRE_OK(preview);
    const auto warning = service.core->JudgeMemory(*preview);
    REQUIRE_OK(warning);
    CHECK_THAT(*warning, Catch::Contains(MemoryText(need)) && Catch::Contains("would wait for a larger one"));
  }
}

TEST_CASE("Memory: a minimum that the user names takes the estimate's place, both ways", "[core]") {
  Service service(absl::Seconds(60));
  NewJob job = Job("a", DeviceKind::kCuda, 4096);
  FakeWorker("w", CudaWorker(Need(job) / 2)).Call(service);
  job.resolved.minimum_device_memory = Need(job) / 4;
  REQUIRE_OK(Create(service, job));
  job.job_id = "b";
  job.resolved.minimum_device_memory = 40'000'000'000;
  const absl::Status refused = Create(service, job);
  CHECK(refused.code() == absl::StatusCode::kFailedPrecondition);
  CHECK_THAT(std::string(refused.message()),
             Catch::Contains("40.0 GB") && Catch::Contains("the job's minimum_device_memory"));
}

TEST_CASE("Memory: with no worker of the kind known a job is taken, since a fleet may come later", "[core]") {
  Service service(absl::Seconds(60));
  FakeWorker("a CPU", CpuWorker(1)).Call(service);
  REQUIRE_OK(Create(service, Job("a", DeviceKind::kCuda, 4096)));
}

TEST_CASE("Memory: on CPUs the machine's memory counts, and 20 bytes a parameter", "[core]") {
  Service service(absl::Seconds(60));
  const NewJob job = Job("a", DeviceKind::kCpu, 4096);
  CHECK(Need(job) > Need(Job("a", DeviceKind::kCuda, 4096)));
  WorkerDescription small = CpuWorker(1);
  small.memory_bytes = Need(job) - 1;
  FakeWorker("small", small).Call(service);
  const absl::Status refused = Create(service, job);
  CHECK(refused.code() == absl::StatusCode::kFailedPrecondition);
  CHECK_THAT(std::string(refused.message()), Catch::Contains("a larger machine"));
  REQUIRE_OK(Create(service, Job("a", DeviceKind::kCpu, 0)));
}

}  // namespace
}  // namespace espalier::testing
