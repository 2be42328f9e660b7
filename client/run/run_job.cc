#include "client/run/run_job.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/render/progress_view.h"
#include "client/run/interrupt.h"
#include "client/run/local_service.h"
#include "client/run/recovery_check.h"
#include "client/run/state_folder.h"
#include "client/service/connection.h"
#include "client/service/model_target.h"
#include "client/service/results.h"
#include "common/base/clock.h"
#include "common/base/status_macros.h"

namespace espalier {
namespace {

constexpr absl::Duration kStartTime = absl::Seconds(60);          // for the coordinator to answer at all
constexpr absl::Duration kLongestSubmission = absl::Minutes(30);  // digests of a large model take their time
constexpr std::chrono::milliseconds kSubmitEvery{50};
// They load LibTorch first: until then it is no news that the job waits for them.
constexpr absl::Duration kWorkersStart = absl::Seconds(20);
constexpr absl::Duration kPatience = absl::Seconds(120);  // with a coordinator that is being restarted

// Repeats a submission until the coordinator is up; the request id makes that harmless.
absl::StatusOr<v1::Job> CreateJob(Connection& connection, const LocalService& service, const v1::JobSpec& spec,
                                  const std::string& request_id) {
  v1::CreateJobRequest request;
  *request.mutable_spec() = spec;
  request.set_request_id(request_id);
  const SteadyClock clock;
  const absl::Time give_up_at = clock.Now() + kStartTime;
  const auto keep_going = [&service] { return !IsInterrupted() && service.status().ok(); };
  while (true) {
    absl::StatusOr<v1::CreateJobResponse> response =
        connection.Call(&v1::SearchService::Stub::CreateJob, request, kLongestSubmission, keep_going);
    if (response.ok()) return std::move(*response->mutable_job());
    if (IsInterrupted()) return absl::CancelledError("interrupted");
    ESPALIER_RETURN_IF_ERROR(service.status());
    if (!absl::IsUnavailable(response.status())) return response.status();
    if (clock.Now() > give_up_at) return response.status();
    std::this_thread::sleep_for(kSubmitEvery);
  }
}

// Refused at the door, so that the job does not exist; a coordinator that ended or is away says nothing about it.
bool IsRefusal(const absl::Status& status, const LocalService& service) {
  return service.status().ok() && (absl::IsInvalidArgument(status) || absl::IsNotFound(status) || absl::IsFailedPrecondition(status) ||
                                   absl::IsOutOfRange(status) || absl::IsDataLoss(status));
}

int NumWorkers(const RunOptions& options, const v1::Job& job) {
  if (options.workers > 0) return options.workers;
  if (job.spec().device() == v1::CUDA) return 1;
  return std::max(1, static_cast<int>(::sysconf(_SC_NPROCESSORS_ONLN)));
}

// A small model leaves most of a GPU idle: several of its candidates share the card. (docs/performance.md has the figures.)
int NumSlots(const v1::Job& job) {
  if (job.spec().device() != v1::CUDA) return 1;
  const int64_t parameters = job.preview().dense_parameters();
  return parameters < 100'000'000 ? 6 : parameters < 1'000'000'000 ? 2 : 1;
}

absl::StatusOr<v1::Job> Follow(Connection& connection, LocalService& service, const std::string& name,
                               std::FILE* stream) {
  ProgressView view(stream);
  const SteadyClock clock;
  const absl::Time started = clock.Now();
  const auto on_change = [&](const v1::Job& job) {
    for (const std::string& event : service.TakeEvents()) view.Note(event);
    if (job.state() == v1::Job::QUEUED && clock.Now() - started < kWorkersStart) return;
    view.Show(job);
  };
  const auto keep_going = [&] { return !IsInterrupted() && service.status().ok(); };
  absl::StatusOr<v1::Job> job = FollowJob(connection, name, kPatience, on_change, keep_going);
  if (!job.ok() && !IsInterrupted()) ESPALIER_RETURN_IF_ERROR(service.status());
  return job;
}

absl::Status FailureOf(const v1::Job& job) {
  if (job.state() == v1::Job::SUCCEEDED) return absl::OkStatus();
  if (job.state() == v1::Job::CANCELLED) return absl::AbortedError("the job was cancelled");
  return absl::AbortedError(absl::StrCat("the job failed: ", job.failure()));
}

}  // namespace

absl::StatusOr<RunReport> RunJob(const RunOptions& options) {
  ESPALIER_RETURN_IF_ERROR(CheckOutput(options.output));
  ESPALIER_RETURN_IF_ERROR(CheckModelTarget(absl::StrCat(options.output, "/model"), options.spec.model_folder(),
                                            {options.spec.tokens_path(), options.spec.evaluation_path(), options.state}));
  ESPALIER_RETURN_IF_ERROR(CheckRecoveryFitsHere(options.spec, options.workers));
  ESPALIER_ASSIGN_OR_RETURN(const std::unique_ptr<StateFolder> folder, StateFolder::Open(options.state));
  ESPALIER_ASSIGN_OR_RETURN(const std::string request_id, folder->RequestIdFor(options.spec));
  ESPALIER_ASSIGN_OR_RETURN(const std::unique_ptr<LocalService> service, LocalService::Start(*folder));
  ConnectionOptions local;
  local.coordinator = service->address();
  ESPALIER_ASSIGN_OR_RETURN(const std::unique_ptr<Connection> connection, Connection::Open(local));
  absl::StatusOr<v1::Job> created = CreateJob(*connection, *service, options.spec, request_id);
  if (!created.ok() && IsRefusal(created.status(), *service)) folder->Forget();
  ESPALIER_ASSIGN_OR_RETURN(v1::Job job, std::move(created));
  for (const std::string& warning : job.preview().warnings())
    std::fprintf(options.progress, "note: %s\n", warning.c_str());
  if (!HasEnded(job)) {
    const int num_workers = NumWorkers(options, job);
    std::fprintf(options.progress, "starting %d %s\n", num_workers, num_workers == 1 ? "worker" : "workers");
    ESPALIER_RETURN_IF_ERROR(service->StartWorkers(num_workers, job.spec().device(), NumSlots(job)));
    ESPALIER_ASSIGN_OR_RETURN(job, Follow(*connection, *service, job.name(), options.progress));
  } else {
    v1::GetJobRequest request;
    request.set_name(job.name());
    ESPALIER_ASSIGN_OR_RETURN(job, connection->Call(&v1::SearchService::Stub::GetJob, request));
  }
  ESPALIER_RETURN_IF_ERROR(FailureOf(job));
  return WriteResults(*connection, job, options.output);
}

}  // namespace espalier
