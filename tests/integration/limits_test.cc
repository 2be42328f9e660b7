// What the services refuse and whom they drop, over gRPC.
#include <chrono>
#include <thread>

#include "coordinator/rpc/caller.h"
#include "coordinator/rpc/quota.h"
#include "tests/integration/remote.h"
#include "tests/integration/service.h"
#include "tests/support/driven_clock.h"

namespace espalier::testing {
namespace {

ServerOptions WithLimits(const Limits& limits) {
  ServerOptions options;
  options.limits = limits;
  return options;
}

grpc::Status CreateJob(const Client& client, const std::string& id, const std::string& display_name) {
  v1::CreateJobRequest request;
  *request.mutable_spec() = ShortSpec();
  request.mutable_spec()->set_display_name(display_name);
  request.set_job_id(id);
  v1::Job job;
  return client.Create(request, &job);
}

// A connection of its own, which takes no more than 64 KiB before it is read.
std::unique_ptr<v1::SearchService::Stub> OwnConnection(const std::string& address) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  return v1::SearchService::NewStub(
      grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments));
}

struct Watch {
  Watch(v1::SearchService::Stub& search, const std::string& job) : context(std::make_unique<grpc::ClientContext>()) {
    context->set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
    v1::WatchJobRequest request;
    request.set_name("jobs/" + job);
    stream = search.WatchJob(context.get(), request);
  }
  // Reads to the end.
  grpc::Status Rest() {
    while (stream->Read(&seen)) {
    }
    return stream->Finish();
  }

  std::unique_ptr<grpc::ClientContext> context;
  std::unique_ptr<grpc::ClientReader<v1::WatchJobResponse>> stream;
  v1::WatchJobResponse seen;
};

TEST_CASE("Limits: a watcher that does not read is dropped and told so, and the others see the end", "[integration]") {
  DrivenClock clock;
  const Service service("", std::nullopt, {}, &clock);
  const Client client(service.address(), "");
  // A state larger than what a connection takes without its reader.
  REQUIRE(CreateJob(client, "a", std::string(1 << 20, 'x')).ok());
  const auto idle = OwnConnection(service.address());
  const auto busy = OwnConnection(service.address());
  Watch slow(*idle, "a");
  Watch quick(*busy, "a");
  REQUIRE(quick.stream->Read(&quick.seen));
  slow.stream->WaitForInitialMetadata();  // its first state is under way
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  clock.Pass(Limits{}.watch_patience + absl::Seconds(1));
  std::this_thread::sleep_for(std::chrono::milliseconds(500));  // some ticks
  const grpc::Status dropped = slow.Rest();
  CHECK(dropped.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED);
  CHECK_THAT(dropped.error_message(), Catch::Contains("took no state for 30s") && Catch::Contains("watch again"));
  v1::CancelJobRequest cancel;
  cancel.set_name("jobs/a");
  v1::Job job;
  REQUIRE(client.search->CancelJob(client.Context(10).get(), cancel, &job).ok());
  CHECK(quick.Rest().ok());
  CHECK(quick.seen.job().state() == v1::Job::CANCELLED);
}

TEST_CASE("Limits: watches, uploads and jobs beyond the limits are refused with what to do", "[integration]") {
  Limits limits;
  limits.max_watches_per_caller = 1;
  limits.max_uploads = 1;
  limits.max_active_jobs_per_caller = 1;
  const DrivenClock clock;
  const Service service("", std::nullopt, WithLimits(limits), &clock);
  const Client client(service.address(), "");
  REQUIRE(CreateJob(client, "a", "").ok());
  const grpc::Status job = CreateJob(client, "b", "");
  CHECK(job.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED);
  CHECK_THAT(job.error_message(), Catch::Contains("cancel"));

  {
    Watch first(*client.search, "a");
    REQUIRE(first.stream->Read(&first.seen));
    const grpc::Status second = Watch(*client.search, "a").Rest();
    CHECK(second.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED);
    CHECK_THAT(second.error_message(), Catch::Contains("WatchJob streams"));
    first.context->TryCancel();
    first.Rest();
  }
  const auto upload = [&](auto&& meanwhile) {
    const auto context = client.Context(30);
    v1::UploadArtifactResponse response;
    const auto stream = client.search->UploadArtifact(context.get(), &response);
    v1::UploadArtifactRequest piece;
    piece.set_data("some tokens");
    stream->Write(piece);
    meanwhile();
    stream->WritesDone();
    return stream->Finish();
  };
  grpc::Status inner;
  const grpc::Status outer = upload([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(300));  // it has begun on the other side
    for (int i = 0; i < 50 && inner.ok(); ++i) inner = upload([] {});
  });
  CHECK(outer.ok());
  CHECK(inner.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED);
  CHECK(upload([] {}).ok());
}

TEST_CASE("Quota: each caller and all of them have a limit, and what ends makes room", "[integration]") {
  Quota quota("things", 3, 2);
  auto first = quota.Take("ann");
  auto second = quota.Take("ann");
  REQUIRE_OK(first);
  REQUIRE_OK(second);
  CHECK_THAT(std::string(quota.Take("ann").status().message()), Catch::Contains("you have 2 things"));
  auto third = quota.Take("bob");
  REQUIRE_OK(third);
  CHECK_THAT(std::string(quota.Take("eve").status().message()), Catch::Contains("the coordinator has 3 things"));
  first = absl::CancelledError("");
  CHECK(quota.num_taken() == 2);
  REQUIRE_OK(quota.Take("eve"));
  CHECK(quota.num_taken() == 2);
}

TEST_CASE("Caller: a host is one caller whatever its ports", "[integration]") {
  CHECK(HostOfPeer("ipv4:10.0.0.7:51234") == "ipv4:10.0.0.7");
  CHECK(HostOfPeer("ipv6:%5B::1%5D:7") == "ipv6:%5B::1%5D");
  CHECK(HostOfPeer("unix:/run/e.sock") == "unix:");
}

}  // namespace
}  // namespace espalier::testing
