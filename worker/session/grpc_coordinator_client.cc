#include <grpcpp/grpcpp.h>
#include <stdlib.h>

#include <chrono>
#include <mutex>
#include <utility>

#include "common/base/address_list.h"
#include "common/base/status_macros.h"
#include "common/security/channel.h"
#include "common/wire/synchronize_conversion.h"
#include "espalier/v1/worker_service.grpc.pb.h"
#include "worker/session/coordinator_client.h"
#include "worker/session/following_client.h"

namespace espalier {
namespace {

class GrpcCoordinatorClient final : public CoordinatorClient {
 public:
  GrpcCoordinatorClient(const std::string& target, bool has_standbys, const ChannelSecurity& security,
                        const std::shared_ptr<grpc::ChannelCredentials>& credentials, std::unique_ptr<CallToken> token)
      : token_(std::move(token)) {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 30000);
    arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10000);
    // Our own loop backs off with jitter; gRPC's must not wait longer than that.
    arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
    arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 5000);  // for one attempt to connect, despite its name
    arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 2000);
    arguments.SetMaxReceiveMessageSize(64 << 20);
    if (has_standbys) {
      arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, kFollowPingEveryMs);
      arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kFollowPingTimeoutMs);
      arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
    }
    SetSecurityArguments(security, &arguments);
    channel_ = grpc::CreateCustomChannel(target, credentials, arguments);
    stub_ = v1::WorkerService::NewStub(channel_);
  }

  absl::StatusOr<SynchronizeResponse> Synchronize(const SynchronizeRequest& request, absl::Duration limit) override {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + absl::ToChronoMilliseconds(limit));
    token_->AddTo(context);
    {
      std::lock_guard lock(mutex_);
      if (std::exchange(is_cancelled_, false)) return absl::CancelledError("cancelled before the call");
      context_ = &context;
    }
    v1::SynchronizeResponse response;
    const grpc::Status status = stub_->Synchronize(&context, wire::ToProto(request), &response);
    bool was_cancelled = false;
    {
      std::lock_guard lock(mutex_);
      context_ = nullptr;
      was_cancelled = std::exchange(is_cancelled_, false);
    }
    if (status.ok()) return wire::FromProto(response);
    // CANCELLED from the other side (a coordinator that shuts down) is an absence, not our own doing.
    if (status.error_code() == grpc::StatusCode::CANCELLED && !was_cancelled)
      return absl::UnavailableError("the coordinator ended the call");
    return absl::Status(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
  }

  void CancelCall() override {
    std::lock_guard lock(mutex_);
    is_cancelled_ = true;
    if (context_ != nullptr) context_->TryCancel();
  }

 private:
  const std::unique_ptr<CallToken> token_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::WorkerService::Stub> stub_;
  std::mutex mutex_;
  grpc::ClientContext* context_ = nullptr;  // guarded by mutex_; of the call under way
  bool is_cancelled_ = false;               // guarded by mutex_
};

absl::StatusOr<std::unique_ptr<CoordinatorClient>> FollowAll(CoordinatorAddress address,
                                                             const std::vector<std::string>& targets) {
  std::vector<std::unique_ptr<CoordinatorClient>> clients;
  address.has_standbys = true;
  for (const std::string& target : targets) {
    address.target = target;
    ESPALIER_ASSIGN_OR_RETURN(clients.emplace_back(), MakeGrpcCoordinatorClient(address));
  }
  return MakeFollowingClient(std::move(clients));
}

}  // namespace

absl::StatusOr<std::unique_ptr<CoordinatorClient>> MakeGrpcCoordinatorClient(const CoordinatorAddress& address) {
  const std::vector<std::string> targets = SplitAddresses(address.target);
  if (targets.size() > 1) return FollowAll(address, targets);
  const std::string target = targets.empty() ? "" : targets.front();
  // Without a call under way gRPC looks at a connection that is being made only this often (5 s by default).
  ::setenv("GRPC_CLIENT_CHANNEL_BACKUP_POLL_INTERVAL_MS", "100", 0);
  const ChannelSecurity security{address.tls, address.tls_server_name, address.token_file};
  ESPALIER_ASSIGN_OR_RETURN(const std::shared_ptr<grpc::ChannelCredentials> credentials,
                            MakeChannelCredentials(target, security));
  ESPALIER_ASSIGN_OR_RETURN(std::unique_ptr<CallToken> token, CallToken::Open(address.token_file));
  return std::make_unique<GrpcCoordinatorClient>(target, address.has_standbys, security, credentials, std::move(token));
}

}  // namespace espalier
