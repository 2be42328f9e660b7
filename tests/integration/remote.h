// Callers of a coordinator over gRPC: a client, and workers whose engine is the fake evaluator.
#pragma once

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "common/wire/mask_conversion.h"
#include "common/wire/synchronize_conversion.h"
#include "espalier/v1/search_service.grpc.pb.h"
#include "espalier/v1/worker_service.grpc.pb.h"
#include "tests/support/catch.h"
#include "tests/support/paths.h"
#include "tests/unit/search/fake_evaluator.h"

namespace espalier::testing {

inline std::string ModelFolder() { return SourcePath("examples/tiny"); }
inline std::string TokensPath() { return SourcePath("examples/tiny-samples.npy"); }

// A short search over the bundled model.
inline v1::JobSpec ShortSpec() {
  v1::JobSpec spec;
  spec.set_model_folder(ModelFolder());
  spec.set_tokens_path(TokensPath());
  spec.mutable_target()->set_share(0.6);
  spec.set_seed(7);
  spec.mutable_stop()->set_generations(2);
  spec.mutable_ladder()->set_attention_levels(3);
  spec.mutable_ladder()->set_ffn_levels(5);
  return spec;
}

class Client {
 public:
  Client(const std::string& address, std::string token,
         const std::shared_ptr<grpc::ChannelCredentials>& credentials = grpc::InsecureChannelCredentials(),
         const grpc::ChannelArguments& arguments = {})
      : channel(grpc::CreateCustomChannel(address, credentials, arguments)),
        search(v1::SearchService::NewStub(channel)),
        worker(v1::WorkerService::NewStub(channel)),
        token_(std::move(token)) {}

  std::unique_ptr<grpc::ClientContext> Context(int seconds) const {
    auto context = std::make_unique<grpc::ClientContext>();
    context->set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(seconds));
    if (!token_.empty()) context->AddMetadata("authorization", "Bearer " + token_);
    return context;
  }
  grpc::Status Create(const v1::CreateJobRequest& request, v1::Job* job) const {
    v1::CreateJobResponse response;
    const grpc::Status status = search->CreateJob(Context(60).get(), request, &response);
    *job = response.job();
    return status;
  }
  grpc::Status Get(const std::string& name, v1::Job* job) const {
    v1::GetJobRequest request;
    request.set_name(name);
    return search->GetJob(Context(10).get(), request, job);
  }

  std::shared_ptr<grpc::Channel> channel;
  std::unique_ptr<v1::SearchService::Stub> search;
  std::unique_ptr<v1::WorkerService::Stub> worker;

 private:
  std::string token_;
};

// Calls until it is stopped; a coordinator that is away is called again.
class RemoteWorker {
 public:
  RemoteWorker(const std::string& address, std::string id, JobInputs inputs)
      : client_(address, ""), id_(std::move(id)), evaluator_(std::move(inputs), {}), thread_([this] { Run(); }) {}
  ~RemoteWorker() {
    is_stopping_ = true;
    thread_.join();
  }
  int num_run() const { return num_run_; }

 private:
  void Run() {
    SynchronizeRequest request;
    request.worker_id = id_;
    request.description.host_name = "here";
    request.description.numerics_class = "fake";
    while (!is_stopping_) {
      request.max_wait = absl::Milliseconds(300);
      v1::SynchronizeResponse proto;
      const grpc::Status status = client_.worker->Synchronize(client_.Context(5).get(), wire::ToProto(request), &proto);
      if (!status.ok()) {
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
        continue;
      }
      const auto response = wire::FromProto(proto);
      if (!response.ok()) return;
      for (const Verdict& verdict : response->verdicts) {
        std::erase_if(request.finished, [&](const FinishedAttempt& done) { return done.token == verdict.token; });
      }
      for (const LeaseGrant& grant : response->grants) {
        ++num_run_;
        request.finished.push_back({grant.token, evaluator_.Run(grant.task)});
      }
    }
  }

  Client client_;
  const std::string id_;
  FakeEvaluator evaluator_;
  std::atomic<bool> is_stopping_ = false;
  std::atomic<int> num_run_ = 0;
  std::thread thread_;
};

inline JobInputs InputsOf(const v1::Job& job) {
  const auto inputs = wire::FromProto(job.inputs());
  REQUIRE_OK(inputs);
  return *inputs;
}

}  // namespace espalier::testing
