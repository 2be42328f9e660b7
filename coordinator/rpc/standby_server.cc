#include "coordinator/rpc/standby_server.h"

#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>
#include <sys/stat.h>

#include <chrono>
#include <mutex>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/status_macros.h"
#include "coordinator/rpc/server_credentials.h"

namespace espalier {
namespace {

class RefusedCall final : public grpc::ServerGenericBidiReactor {
 public:
  explicit RefusedCall(const grpc::Status& status) { Finish(status); }
  void OnDone() override { delete this; }  // gRPC's way: the call owns itself
};

class RefusingService final : public grpc::CallbackGenericService {
 public:
  grpc::ServerGenericBidiReactor* CreateReactor(grpc::GenericCallbackServerContext* context) override {
    const std::string address = leader();
    std::string message = "this coordinator stands by and is not the leader; ";
    if (address.empty()) {
      message += "nobody leads at the moment, call again";
    } else {
      message += absl::StrCat("the leader is at ", address);
      context->AddTrailingMetadata(kLeaderMetadata, address);
    }
    return new RefusedCall(grpc::Status(grpc::StatusCode::UNAVAILABLE, message));
  }

  void SetLeader(const std::string& address) {
    const std::lock_guard lock(mutex_);
    leader_ = address;
  }
  std::string leader() const {
    const std::lock_guard lock(mutex_);
    return leader_;
  }

 private:
  mutable std::mutex mutex_;
  std::string leader_;  // guarded by mutex_
};

class StandbyServerImpl final : public StandbyServer {
 public:
  explicit StandbyServerImpl(const ServerOptions& options) : address_(options.address) {}
  ~StandbyServerImpl() override {
    if (server_ == nullptr) return;
    server_->Shutdown(std::chrono::system_clock::now());
    server_->Wait();
  }

  absl::Status Listen(const std::shared_ptr<grpc::ServerCredentials>& credentials) {
    grpc::EnableDefaultHealthCheckService(true);
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort(address_.ToText(), credentials, &port);
    builder.RegisterCallbackGenericService(&service_);
    builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
    const mode_t old_mask = ::umask(0177);  // as the leader's socket
    server_ = builder.BuildAndStart();
    ::umask(old_mask);
    if (server_ == nullptr) {
      return absl::FailedPreconditionError(
          absl::StrCat("--listen: cannot listen on ", address_.ToText(), "; is it in use?"));
    }
    server_->GetHealthCheckService()->SetServingStatus(false);
    if (!address_.is_unix) address_.port = port;
    return absl::OkStatus();
  }

  const ListenAddress& address() const override { return address_; }
  void SetLeader(const std::string& address) override { service_.SetLeader(address); }
  std::string leader() const override { return service_.leader(); }

 private:
  ListenAddress address_;
  RefusingService service_;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<StandbyServer>> StandbyServer::Start(const ServerOptions& options) {
  if (!options.tls.empty()) ESPALIER_RETURN_IF_ERROR(CheckTlsFiles(options.tls, absl::Now()));
  ESPALIER_RETURN_IF_ERROR(PrepareAddress(options.address));
  auto server = std::make_unique<StandbyServerImpl>(options);
  ESPALIER_RETURN_IF_ERROR(server->Listen(MakeServerCredentials(options.tls, options.tls_reload_seconds)));
  return server;
}

}  // namespace espalier
