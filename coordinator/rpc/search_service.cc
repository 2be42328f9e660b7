#include "coordinator/rpc/search_service.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/status_macros.h"
#include "common/wire/job_conversion.h"
#include "common/wire/mask_conversion.h"
#include "common/wire/names.h"
#include "coordinator/core/job_reader.h"
#include "coordinator/rpc/artifact_reactors.h"
#include "coordinator/rpc/caller.h"
#include "coordinator/rpc/pages.h"
#include "coordinator/rpc/unary.h"
#include "coordinator/rpc/view_conversion.h"
#include "coordinator/search/retained_states.h"

namespace espalier {
namespace {

constexpr size_t kMaxRequestIdBytes = 200;
constexpr size_t kMaxPageBytes = 3 << 20;  // below the size of a message

absl::Status CheckCreate(const v1::CreateJobRequest& request) {
  if (!request.has_spec()) return absl::InvalidArgumentError("spec: is required");
  if (!request.job_id().empty()) ESPALIER_RETURN_IF_ERROR(wire::CheckJobId(request.job_id()));
  if (request.request_id().size() > kMaxRequestIdBytes) {
    return absl::InvalidArgumentError(absl::StrCat("request_id: longer than ", kMaxRequestIdBytes, " bytes"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status SearchServiceImpl::Allow(grpc::CallbackServerContext& context, const char* method) const {
  const absl::Status status = parts_.gate->Check(context, v1::SearchService::service_full_name(), method);
  if (status.ok() && !parts_.version.empty()) context.AddInitialMetadata(kVersionMetadata, parts_.version);
  return status;
}

grpc::ServerUnaryReactor* SearchServiceImpl::CreateJob(grpc::CallbackServerContext* context,
                                                       const v1::CreateJobRequest* request,
                                                       v1::CreateJobResponse* response) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  absl::Status status = Allow(*context, "CreateJob");
  if (status.ok()) status = CheckCreate(*request);
  if (!status.ok()) {
    reactor->Finish(ToGrpc(status));
    return reactor;
  }
  const bool is_taken = parts_.readers->TryPost([this, request, response, reactor, caller = CallerOf(*context)] {
    Prepare(*request, caller, response, reactor);
  });
  if (!is_taken) reactor->Finish(ToGrpc(TooManyCalls()));
  return reactor;
}

void SearchServiceImpl::Prepare(const v1::CreateJobRequest& request, const std::string& caller,
                                v1::CreateJobResponse* response, grpc::ServerUnaryReactor* reactor) {
  NewJob job;
  job.job_id = request.job_id();
  job.request_id = request.request_id();
  job.submitted = request.spec().SerializeAsString();
  job.create_time = absl::Now();
  job.caller = caller;
  // A repeated request gets its job without reading the files again, even when they are gone by now.
  const auto earlier = parts_.coordinator->FindRequest(parts_.clock->Now(), job.request_id, job.submitted);
  if (!earlier.ok()) return reactor->Finish(ToGrpc(earlier.status()));
  if (earlier->has_value() && !request.validate_only()) {
    *response->mutable_job() = ToProto(**earlier);
    return reactor->Finish(grpc::Status::OK);
  }
  absl::StatusOr<JobSpec> spec = wire::FromUser(request.spec());
  if (!spec.ok()) return reactor->Finish(ToGrpc(spec.status()));
  absl::StatusOr<JobInputs> inputs = ReadJobInputs(*spec, parts_.roots);
  if (!inputs.ok()) return reactor->Finish(ToGrpc(inputs.status()));
  if (request.spec().continue_state() == v1::CONTINUE_STATE_UNSPECIFIED) {
    const absl::StatusOr<ContinueState> by_size = ContinueStateBySize(*spec, *inputs);
    if (!by_size.ok()) return reactor->Finish(ToGrpc(by_size.status()));
    spec->continue_state = *by_size;
  }
  absl::StatusOr<JobPreview> preview = ResolveJob(*spec, *inputs);
  if (!preview.ok()) return reactor->Finish(ToGrpc(preview.status()));
  const std::vector<std::string> warnings = WarningsOfFiles(*spec, *inputs);
  preview->warnings.insert(preview->warnings.end(), warnings.begin(), warnings.end());
  const TimeEstimate estimate = parts_.coordinator->EstimateJob(parts_.clock->Now(), *preview);
  if (request.validate_only()) {
    const absl::StatusOr<std::string> memory = parts_.coordinator->JudgeMemory(*preview);
    if (!memory.ok()) return reactor->Finish(ToGrpc(memory.status()));
    v1::Job& answer = *response->mutable_job();
    *answer.mutable_spec() = wire::ToProto(preview->resolved);
    *answer.mutable_preview() = ToProto(*preview);
    if (!memory->empty()) answer.mutable_preview()->add_warnings(*memory);
    *answer.mutable_preview()->mutable_time() = wire::ToProto(estimate);
    if (estimate.device_seconds.has_value()) {
      answer.mutable_preview()->set_estimated_device_hours(*estimate.device_seconds / 3600);
    }
    return reactor->Finish(grpc::Status::OK);
  }
  job.resolved = preview->resolved;
  job.inputs = *std::move(inputs);
  job.inputs.first_estimate = estimate;
  parts_.main->Post([this, job = std::move(job), warnings, response, reactor] {
    const absl::StatusOr<JobView> view = parts_.coordinator->CreateJob(parts_.clock->Now(), job);
    if (view.ok()) {
      *response->mutable_job() = ToProto(*view);
      for (const std::string& warning : warnings) response->mutable_job()->mutable_preview()->add_warnings(warning);
    }
    reactor->Finish(ToGrpc(view.status()));
  });
}

grpc::ServerUnaryReactor* SearchServiceImpl::OnJob(grpc::CallbackServerContext* context, const char* method,
                                                   const std::string& name, JobCall call, v1::Job* response) {
  return Unary(context, Allow(*context, method), *parts_.main, [this, &name, call, response]() -> absl::Status {
    ESPALIER_ASSIGN_OR_RETURN(const std::string job_id, wire::ParseJobName(name));
    ESPALIER_ASSIGN_OR_RETURN(const JobView view, (parts_.coordinator->*call)(parts_.clock->Now(), job_id));
    *response = ToProto(view);
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* SearchServiceImpl::GetJob(grpc::CallbackServerContext* context,
                                                    const v1::GetJobRequest* request, v1::Job* response) {
  return OnJob(context, "GetJob", request->name(), &Coordinator::GetJob, response);
}

grpc::ServerUnaryReactor* SearchServiceImpl::CancelJob(grpc::CallbackServerContext* context,
                                                       const v1::CancelJobRequest* request, v1::Job* response) {
  return OnJob(context, "CancelJob", request->name(), &Coordinator::CancelJob, response);
}

grpc::ServerUnaryReactor* SearchServiceImpl::PauseJob(grpc::CallbackServerContext* context,
                                                      const v1::PauseJobRequest* request, v1::Job* response) {
  return OnJob(context, "PauseJob", request->name(), &Coordinator::PauseJob, response);
}

grpc::ServerUnaryReactor* SearchServiceImpl::ResumeJob(grpc::CallbackServerContext* context,
                                                       const v1::ResumeJobRequest* request, v1::Job* response) {
  return OnJob(context, "ResumeJob", request->name(), &Coordinator::ResumeJob, response);
}

grpc::ServerUnaryReactor* SearchServiceImpl::DeleteJob(grpc::CallbackServerContext* context,
                                                       const v1::DeleteJobRequest* request,
                                                       google::protobuf::Empty* /*response*/) {
  return Unary(context, Allow(*context, "DeleteJob"), *parts_.main, [this, request]() -> absl::Status {
    ESPALIER_ASSIGN_OR_RETURN(const std::string job_id, wire::ParseJobName(request->name()));
    return parts_.coordinator->DeleteJob(parts_.clock->Now(), job_id);
  });
}

grpc::ServerUnaryReactor* SearchServiceImpl::ListJobs(grpc::CallbackServerContext* context,
                                                      const v1::ListJobsRequest* request,
                                                      v1::ListJobsResponse* response) {
  return Unary(context, Allow(*context, "ListJobs"), *parts_.main, [this, request, response]() -> absl::Status {
    const std::vector<JobView> views = parts_.coordinator->ListJobs(parts_.clock->Now());
    ESPALIER_ASSIGN_OR_RETURN(const Page page, PageOf(views.size(), request->page_size(), request->page_token(), 50, 1000));
    std::string next_token = page.next_token;
    size_t bytes = 0;
    for (size_t i = page.begin; i < page.end; ++i) {
      v1::Job job = ToProto(views[i]);
      bytes += job.ByteSizeLong();
      if (bytes > kMaxPageBytes && i > page.begin) {
        next_token = PageToken(i);
        break;
      }
      *response->add_jobs() = std::move(job);
    }
    response->set_next_page_token(next_token);
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* SearchServiceImpl::ListCandidates(grpc::CallbackServerContext* context,
                                                            const v1::ListCandidatesRequest* request,
                                                            v1::ListCandidatesResponse* response) {
  return Unary(context, Allow(*context, "ListCandidates"), *parts_.main, [this, request, response]() -> absl::Status {
    ESPALIER_ASSIGN_OR_RETURN(const std::string job_id, wire::ParseJobName(request->parent()));
    ESPALIER_ASSIGN_OR_RETURN(const std::vector<CandidateView> views,
                              parts_.coordinator->ListCandidates(parts_.clock->Now(), job_id));
    ESPALIER_ASSIGN_OR_RETURN(const Page page,
                              PageOf(views.size(), request->page_size(), request->page_token(), 100, 1000));
    std::string next_token = page.next_token;
    size_t bytes = 0;
    for (size_t i = page.begin; i < page.end; ++i) {
      v1::Candidate candidate = ToProto(job_id, views[i], request->brief());
      bytes += candidate.ByteSizeLong();
      if (bytes > kMaxPageBytes && i > page.begin) {
        next_token = PageToken(i);
        break;
      }
      *response->add_candidates() = std::move(candidate);
    }
    response->set_next_page_token(next_token);
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* SearchServiceImpl::GetCandidate(grpc::CallbackServerContext* context,
                                                          const v1::GetCandidateRequest* request,
                                                          v1::Candidate* response) {
  return Unary(context, Allow(*context, "GetCandidate"), *parts_.main, [this, request, response]() -> absl::Status {
    ESPALIER_ASSIGN_OR_RETURN(const wire::CandidatePath path, wire::ParseCandidateName(request->name()));
    ESPALIER_ASSIGN_OR_RETURN(const std::vector<CandidateView> views,
                              parts_.coordinator->ListCandidates(parts_.clock->Now(), path.job_id));
    for (const CandidateView& view : views) {
      if (wire::CandidateName(path.job_id, view.id) != request->name()) continue;
      *response = ToProto(path.job_id, view, false);
      return absl::OkStatus();
    }
    return absl::NotFoundError(absl::StrCat("there is no candidate '", path.candidate, "' in job '", path.job_id, "'"));
  });
}

grpc::ServerUnaryReactor* SearchServiceImpl::ListWorkers(grpc::CallbackServerContext* context,
                                                         const v1::ListWorkersRequest* request,
                                                         v1::ListWorkersResponse* response) {
  return Unary(context, Allow(*context, "ListWorkers"), *parts_.main, [this, request, response]() -> absl::Status {
    const std::vector<WorkerView> views = parts_.coordinator->ListWorkers(parts_.clock->Now());
    ESPALIER_ASSIGN_OR_RETURN(const Page page,
                              PageOf(views.size(), request->page_size(), request->page_token(), 100, 1000));
    for (size_t i = page.begin; i < page.end; ++i) *response->add_workers() = ToProto(views[i]);
    response->set_next_page_token(page.next_token);
    return absl::OkStatus();
  });
}

grpc::ServerWriteReactor<v1::WatchJobResponse>* SearchServiceImpl::WatchJob(grpc::CallbackServerContext* context,
                                                                            const v1::WatchJobRequest* request) {
  absl::Status status = Allow(*context, "WatchJob");
  const absl::StatusOr<std::string> job_id = wire::ParseJobName(request->name());
  if (status.ok()) status = job_id.status();
  return parts_.watches->Start(status, context, job_id.ok() ? *job_id : "");
}

grpc::ServerWriteReactor<v1::ReadArtifactResponse>* SearchServiceImpl::ReadArtifact(
    grpc::CallbackServerContext* context, const v1::ReadArtifactRequest* request) {
  return StartArtifactRead(Allow(*context, "ReadArtifact"), downloads_.Take(CallerOf(*context)), *request,
                           parts_.artifacts, parts_.readers);
}

grpc::ServerReadReactor<v1::UploadArtifactRequest>* SearchServiceImpl::UploadArtifact(
    grpc::CallbackServerContext* context, v1::UploadArtifactResponse* response) {
  UploadLimits limits;
  limits.upload_folder = parts_.upload_folder;
  limits.artifact_folder = parts_.artifact_folder;
  limits.max_bytes = parts_.limits.max_upload_bytes;
  return StartArtifactUpload(Allow(*context, "UploadArtifact"), uploads_.Take(CallerOf(*context)), std::move(limits),
                             response, parts_.artifacts, parts_.readers);
}

}  // namespace espalier
