// SearchService: message in, call of the core, message out. Every call leaves gRPC's threads at once.
#pragma once

#include <string>

#include "common/artifacts/artifact_store.h"
#include "common/security/path_roots.h"
#include "coordinator/core/coordinator.h"
#include "coordinator/rpc/executor.h"
#include "coordinator/rpc/gate.h"
#include "coordinator/rpc/quota.h"
#include "coordinator/rpc/watch_registry.h"
#include "espalier/v1/search_service.grpc.pb.h"

namespace espalier {

struct SearchServiceParts {
  Coordinator* coordinator = nullptr;
  ArtifactStore* artifacts = nullptr;
  const Clock* clock = nullptr;
  const Gate* gate = nullptr;
  Executor* main = nullptr;     // one thread: all that changes the core
  Executor* readers = nullptr;  // reads files
  WatchRegistry* watches = nullptr;
  std::string artifact_folder;
  std::string upload_folder;  // for uploads under way
  Limits limits;
  PathRoots roots;  // where the files of jobs must lie
  std::string version = {};  // told with every answer; empty: not told
};

// The coordinator's version, in the metadata that an answer begins with.
inline constexpr char kVersionMetadata[] = "espalier-version";

class SearchServiceImpl final : public v1::SearchService::CallbackService {
 public:
  explicit SearchServiceImpl(SearchServiceParts parts)
      : parts_(std::move(parts)),
        uploads_("uploads", parts_.limits.max_uploads, parts_.limits.max_uploads_per_caller),
        downloads_("downloads", parts_.limits.max_downloads, parts_.limits.max_downloads_per_caller) {}

  grpc::ServerUnaryReactor* CreateJob(grpc::CallbackServerContext* context, const v1::CreateJobRequest* request,
                                      v1::CreateJobResponse* response) override;
  grpc::ServerUnaryReactor* GetJob(grpc::CallbackServerContext* context, const v1::GetJobRequest* request,
                                   v1::Job* response) override;
  grpc::ServerUnaryReactor* ListJobs(grpc::CallbackServerContext* context, const v1::ListJobsRequest* request,
                                     v1::ListJobsResponse* response) override;
  grpc::ServerUnaryReactor* CancelJob(grpc::CallbackServerContext* context, const v1::CancelJobRequest* request,
                                      v1::Job* response) override;
  grpc::ServerUnaryReactor* PauseJob(grpc::CallbackServerContext* context, const v1::PauseJobRequest* request,
                                     v1::Job* response) override;
  grpc::ServerUnaryReactor* ResumeJob(grpc::CallbackServerContext* context, const v1::ResumeJobRequest* request,
                                      v1::Job* response) override;
  grpc::ServerUnaryReactor* DeleteJob(grpc::CallbackServerContext* context, const v1::DeleteJobRequest* request,
                                      google::protobuf::Empty* response) override;
  grpc::ServerWriteReactor<v1::WatchJobResponse>* WatchJob(grpc::CallbackServerContext* context,
                                                           const v1::WatchJobRequest* request) override;
  grpc::ServerUnaryReactor* ListCandidates(grpc::CallbackServerContext* context,
                                           const v1::ListCandidatesRequest* request,
                                           v1::ListCandidatesResponse* response) override;
  grpc::ServerUnaryReactor* GetCandidate(grpc::CallbackServerContext* context, const v1::GetCandidateRequest* request,
                                         v1::Candidate* response) override;
  grpc::ServerUnaryReactor* ListWorkers(grpc::CallbackServerContext* context, const v1::ListWorkersRequest* request,
                                        v1::ListWorkersResponse* response) override;
  grpc::ServerWriteReactor<v1::ReadArtifactResponse>* ReadArtifact(grpc::CallbackServerContext* context,
                                                                   const v1::ReadArtifactRequest* request) override;
  grpc::ServerReadReactor<v1::UploadArtifactRequest>* UploadArtifact(grpc::CallbackServerContext* context,
                                                                     v1::UploadArtifactResponse* response) override;

 private:
  using JobCall = absl::StatusOr<JobView> (Coordinator::*)(absl::Time, const std::string&);
  grpc::ServerUnaryReactor* OnJob(grpc::CallbackServerContext* context, const char* method, const std::string& name,
                                  JobCall call, v1::Job* response);
  absl::Status Allow(grpc::CallbackServerContext& context, const char* method) const;
  // On a reader thread; finishes the call itself or hands it to the main thread.
  void Prepare(const v1::CreateJobRequest& request, const std::string& caller, v1::CreateJobResponse* response,
               grpc::ServerUnaryReactor* reactor);

  SearchServiceParts parts_;
  Quota uploads_;
  Quota downloads_;
};

}  // namespace espalier
