#include "coordinator/rpc/server.h"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>
#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <future>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/files.h"
#include "common/base/status_macros.h"
#include "coordinator/rpc/admin_service.h"
#include "coordinator/rpc/call_meter.h"
#include "coordinator/rpc/executor.h"
#include "coordinator/rpc/gate.h"
#include "coordinator/rpc/search_service.h"
#include "coordinator/rpc/server_credentials.h"
#include "coordinator/rpc/watch_registry.h"
#include "coordinator/rpc/worker_service.h"

namespace espalier {
namespace {

constexpr int kNumReaders = 2;
constexpr absl::Duration kTickEvery = absl::Milliseconds(100);

class RpcServerImpl final : public RpcServer, public CoordinatorListener {
 public:
  RpcServerImpl(Coordinator* coordinator, ArtifactStore* artifacts, const Clock* clock, const ServerOptions& options)
      : coordinator_(coordinator),
        clock_(clock),
        address_(options.address),
        options_(options),
        gate_(options.authority, options.gate_observer),
        main_(std::make_unique<Executor>(1, [this] { Tick(); }, kTickEvery)),
        readers_(std::make_unique<Executor>(kNumReaders, nullptr, absl::ZeroDuration())),
        limits_(options.limits),
        watches_(coordinator, clock, main_.get(), limits_),
        workers_(coordinator, clock, &gate_, main_.get(), limits_.max_workers),
        search_(SearchServiceParts{coordinator, artifacts, clock, &gate_, main_.get(), readers_.get(), &watches_,
                                   options.artifact_folder, options.upload_folder, options.limits, options.roots, options.version}),
        admin_(options.backup, &gate_, readers_.get(), options.upload_folder) {
    main_->SetLimit(limits_.max_queued_calls);
    readers_->SetLimit(limits_.max_queued_reads);
    coordinator_->SetListener(this);
    is_ticking_ = true;
  }
  ~RpcServerImpl() override {
    Stop(absl::Seconds(1));
    readers_.reset();  // runs what was posted, which may post to main_
    main_.reset();
  }

  absl::Status Listen() {
    grpc::EnableDefaultHealthCheckService(true);
    if (options_.has_reflection) grpc::reflection::InitProtoReflectionServerBuilderPlugin();
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort(address_.ToText(), MakeServerCredentials(options_.tls, options_.tls_reload_seconds), &port);
    builder.RegisterService(&search_);
    builder.RegisterService(&workers_);
    builder.RegisterService(&admin_);
    builder.SetMaxReceiveMessageSize(limits_.max_message_bytes);
    builder.SetMaxSendMessageSize(limits_.max_message_bytes);
    // Without this a second coordinator would share the port, and calls would go to either at random.
    builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
    builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, limits_.max_metadata_bytes);
    builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, limits_.max_streams);
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 60'000);
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 20'000);
    builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 3'000);
    if (options_.call_observer != nullptr) {
      std::vector<std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>> meters;
      meters.push_back(MakeCallMeter(options_.call_observer));
      builder.experimental().SetInterceptorCreators(std::move(meters));
    }
    const mode_t old_mask = ::umask(0177);  // a Unix socket has mode 0600 from its first moment
    server_ = builder.BuildAndStart();
    ::umask(old_mask);
    if (server_ == nullptr) {
      return absl::FailedPreconditionError(
          absl::StrCat("--listen: cannot listen on ", address_.ToText(), "; is it in use?"));
    }
    if (!address_.is_unix) address_.port = port;
    return absl::OkStatus();
  }

  const ListenAddress& address() const override { return address_; }

  void Stop(absl::Duration grace) override {
    if (std::exchange(is_stopped_, true)) return;
    if (server_ != nullptr && server_->GetHealthCheckService() != nullptr) server_->GetHealthCheckService()->Shutdown();
    std::promise<void> closed;
    main_->Post([this, &closed] {
      workers_.Close();
      watches_.Close();
      closed.set_value();
    });
    closed.get_future().wait();
    if (server_ != nullptr) {
      server_->Shutdown(std::chrono::system_clock::now() + absl::ToChronoMicroseconds(grace));
      server_->Wait();
    }
    coordinator_->SetListener(nullptr);
  }

  void OnWorkersReady(const std::vector<std::string>& worker_ids) override {
    main_->Post([this, worker_ids] { workers_.OnWorkersReady(worker_ids); });
  }

 private:
  void Tick() {
    if (!is_ticking_) return;
    const absl::Time now = clock_->Now();
    if (options_.call_observer != nullptr) {
      options_.call_observer->OnTick(std::max(now - last_tick_ - kTickEvery, absl::ZeroDuration()));
    }
    last_tick_ = now;
    coordinator_->Tick(now);
    workers_.Tick();
    watches_.Tick();
  }

  Coordinator* coordinator_;
  const Clock* clock_;
  ListenAddress address_;
  const ServerOptions options_;
  Gate gate_;
  bool is_stopped_ = false;
  absl::Time last_tick_ = absl::InfiniteFuture();  // of main_'s thread; none yet
  std::atomic<bool> is_ticking_ = false;  // all members are there
  std::unique_ptr<Executor> main_;
  std::unique_ptr<Executor> readers_;
  const Limits limits_;
  WatchRegistry watches_;
  WorkerServiceImpl workers_;
  SearchServiceImpl search_;
  AdminServiceImpl admin_;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<RpcServer>> RpcServer::Start(Coordinator* coordinator, ArtifactStore* artifacts,
                                                            const Clock* clock, const ServerOptions& options) {
  if (!options.tls.empty()) ESPALIER_RETURN_IF_ERROR(CheckTlsFiles(options.tls, absl::Now()));
  ESPALIER_RETURN_IF_ERROR(PrepareAddress(options.address));
  auto server = std::make_unique<RpcServerImpl>(coordinator, artifacts, clock, options);
  ESPALIER_RETURN_IF_ERROR(server->Listen());
  return server;
}

}  // namespace espalier
