#include "bench/coordinator_load/load_run.h"

#include <stdlib.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "bench/coordinator_load/simulated_fleet.h"
#include "common/base/status_macros.h"
#include "common/wire/mask_conversion.h"
#include "common/wire/job_conversion.h"
#include "espalier/v1/search_service.grpc.pb.h"

namespace espalier::load {
namespace {

constexpr int kStreamsPerConnection = 200;  // below the coordinator's limit
constexpr absl::Duration kLongestRecovery = absl::Minutes(3);

Latencies LatenciesOf(std::vector<float> seconds) {
  Latencies latencies;
  latencies.count = static_cast<int64_t>(seconds.size());
  if (seconds.empty()) return latencies;
  std::sort(seconds.begin(), seconds.end());
  const auto at = [&](double share) {
    return static_cast<double>(seconds[static_cast<size_t>(share * static_cast<double>(seconds.size() - 1))]);
  };
  latencies.p50 = at(0.5);
  latencies.p95 = at(0.95);
  latencies.p99 = at(0.99);
  latencies.most = seconds.back();
  return latencies;
}

v1::JobSpec SpecOf(const LoadOptions& options, int index) {
  v1::JobSpec spec;
  spec.set_display_name(absl::StrCat("load ", index));
  spec.set_model_folder(options.model);
  spec.set_tokens_path(options.tokens);
  spec.mutable_target()->set_share(0.6);
  spec.set_seed(static_cast<uint64_t>(index));
  spec.set_first_parent(v1::UNIFORM);
  v1::Phase& phase = *spec.add_phases();
  phase.set_name("load");
  phase.set_generations(100'000);
  phase.set_same_kind_weight(1);
  phase.set_cross_kind_weight(1);
  const int offspring = static_cast<int>(options.busy_share * options.num_workers / options.num_jobs);
  phase.set_offspring(std::clamp(offspring, 1, 4096));
  v1::Stage& stage = *phase.add_stages();
  stage.set_survivors(1);
  stage.set_train_tokens(512);
  stage.set_score_tokens(512);
  return spec;
}

// Makes the jobs; the inputs of the last one (all have the same files).
absl::StatusOr<JobInputs> CreateJobs(const LoadOptions& options, const std::string& address, const std::string& token) {
  const auto stub =
      v1::SearchService::NewStub(grpc::CreateChannel(address, grpc::InsecureChannelCredentials()));
  v1::CreateJobResponse response;
  for (int i = 0; i < options.num_jobs; ++i) {
    grpc::ClientContext context;
    context.AddMetadata("authorization", "Bearer " + token);
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::minutes(2));
    v1::CreateJobRequest request;
    *request.mutable_spec() = SpecOf(options, i);
    request.set_job_id(absl::StrCat("load-", i));
    const grpc::Status status = stub->CreateJob(&context, request, &response);
    if (!status.ok()) return absl::InternalError(absl::StrCat("job ", i, " was refused: ", status.error_message()));
  }
  return wire::FromProto(response.job().inputs());
}

absl::StatusOr<std::string> StateFolder(const LoadOptions& options) {
  if (!options.state.empty()) return options.state;
  std::string path = std::filesystem::temp_directory_path() / "espalier-load-XXXXXX";
  if (::mkdtemp(path.data()) == nullptr) return absl::ErrnoToStatus(errno, absl::StrCat("cannot make '", path, "'"));
  return path;
}

absl::Status MeasureRestart(CoordinatorProcess& coordinator, SimulatedFleet& fleet, LoadResult* result) {
  fleet.Reset();
  result->tasks_at_kill = fleet.num_held();
  const absl::Time begin = absl::Now();
  coordinator.Kill();
  absl::Status started;
  absl::Time ready_at = absl::InfiniteFuture();
  std::atomic<bool> is_ready = false;
  std::thread starter([&] {
    started = coordinator.Start();
    ready_at = absl::Now();
    is_ready = true;
  });
  const auto since = [&](absl::Time at) { return absl::ToDoubleSeconds(at - begin); };
  while (absl::Now() < begin + kLongestRecovery) {
    fleet.RunOnce(absl::Now() + absl::Milliseconds(50));
    if (result->first_commit_seconds == 0 && fleet.counts().committed > 0) result->first_commit_seconds = since(absl::Now());
    const bool are_all_there = fleet.num_answered_workers() == result->options.num_workers;
    if (result->resynchronised_seconds == 0 && are_all_there) result->resynchronised_seconds = since(absl::Now());
    if (result->first_commit_seconds > 0 && result->resynchronised_seconds > 0 && is_ready) break;
    if (is_ready && !started.ok()) break;
  }
  starter.join();
  ESPALIER_RETURN_IF_ERROR(started);
  result->ready_seconds = since(ready_at);
  result->tasks_stopped = fleet.counts().stopped;
  if (result->resynchronised_seconds > 0 && result->first_commit_seconds > 0) return absl::OkStatus();
  return absl::DeadlineExceededError(absl::StrCat(fleet.num_answered_workers(), " of ", result->options.num_workers,
                                                  " workers were back after ", absl::FormatDuration(kLongestRecovery)));
}

}  // namespace

absl::StatusOr<LoadResult> RunLoad(const LoadOptions& options) {
  LoadResult result;
  result.options = options;
  result.cores = static_cast<int>(std::thread::hardware_concurrency());
  ESPALIER_ASSIGN_OR_RETURN(const std::string state, StateFolder(options));
  CoordinatorProcess coordinator(options.coordinator, state);
  ESPALIER_RETURN_IF_ERROR(coordinator.Start());
  FleetOptions of_fleet;
  of_fleet.num_workers = options.num_workers;
  of_fleet.num_channels = options.num_workers / kStreamsPerConnection + 1;
  of_fleet.task_seconds = options.task_seconds;
  of_fleet.address = coordinator.address();
  ESPALIER_ASSIGN_OR_RETURN(of_fleet.token, coordinator.Token());
  ESPALIER_ASSIGN_OR_RETURN(JobInputs inputs, CreateJobs(options, of_fleet.address, of_fleet.token));

  SimulatedFleet fleet(of_fleet, std::move(inputs));
  fleet.Start(absl::Seconds(options.warm_up_seconds / 2));
  fleet.RunFor(absl::Seconds(options.warm_up_seconds));
  fleet.Reset();
  ESPALIER_ASSIGN_OR_RETURN(const ProcessUsage before, coordinator.Usage());
  const ProcessUsage own_before = OwnUsage();
  const absl::Time begin = absl::Now();
  fleet.RunFor(absl::Seconds(options.seconds));
  result.seconds = absl::ToDoubleSeconds(absl::Now() - begin);
  ESPALIER_ASSIGN_OR_RETURN(result.coordinator, coordinator.Usage());
  result.coordinator.cpu_seconds -= before.cpu_seconds;
  result.fleet = OwnUsage();
  result.fleet.cpu_seconds -= own_before.cpu_seconds;
  const FleetCounts& counts = fleet.counts();
  result.answered = LatenciesOf(counts.answered);
  result.parked = LatenciesOf(counts.parked);
  result.failed_calls = counts.failed_calls;
  result.commits_per_second = static_cast<double>(counts.committed) / result.seconds;
  result.grants_per_second = static_cast<double>(counts.granted) / result.seconds;
  result.busy_workers = fleet.num_busy();
  ::getloadavg(&result.load_average, 1);
  if (options.with_restart) ESPALIER_RETURN_IF_ERROR(MeasureRestart(coordinator, fleet, &result));
  coordinator.Kill();
  if (options.state.empty()) {
    std::error_code error;
    std::filesystem::remove_all(state, error);
  }
  return result;
}

}  // namespace espalier::load
