#include "coordinator/store/memory_job_store.h"

#include "tests/contract/job_store_contract.h"
#include "tests/support/catch.h"

namespace espalier::testing {

TEST_CASE("MemoryJobStore: keeps the contract", "[store]") {
  const auto content = std::make_shared<MemoryJobStore::Content>();
  RunJobStoreContract([&]() -> std::unique_ptr<JobStore> { return std::make_unique<MemoryJobStore>(content); });
}

TEST_CASE("MemoryJobStore: an older store over the same content is fenced", "[store]") {
  const auto content = std::make_shared<MemoryJobStore::Content>();
  MemoryJobStore older(content);
  MemoryJobStore newer(content);
  JobRecord job;
  job.job_id = "a";
  CHECK(older.InsertJob(job).code() == absl::StatusCode::kAborted);
  REQUIRE_OK(newer.InsertJob(job));
}

}  // namespace espalier::testing
