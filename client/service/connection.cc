#include "client/service/connection.h"

#include <chrono>
#include <thread>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/address_list.h"
#include "common/base/clock.h"
#include "common/base/status_macros.h"

namespace espalier {
namespace {

constexpr std::chrono::milliseconds kRetryEvery{100};
// While one coordinator takes over from another.
constexpr std::chrono::milliseconds kBetweenRounds{300};
constexpr std::chrono::seconds kLookForLeader{30};

grpc::ChannelArguments ArgumentsOf(bool has_standbys) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, has_standbys ? kFollowPingEveryMs : 30000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, has_standbys ? kFollowPingTimeoutMs : 10000);
  if (has_standbys) arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 5000);  // for one attempt to connect, despite its name
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 2000);
  arguments.SetMaxReceiveMessageSize(64 << 20);
  return arguments;
}

// One WatchJob stream until it ends; `last` is the newest state seen.
absl::Status WatchOnce(Connection& connection, const std::string& name, v1::Job* last, bool* has_answered,
                       const std::function<void(const v1::Job&)>& on_change, const std::function<bool()>& keep_going) {
  grpc::ClientContext context;
  connection.Prepare(context, absl::Hours(24));
  v1::WatchJobRequest request;
  request.set_name(name);
  const CallGuard guard(context, keep_going);
  const auto reader = connection.stub().WatchJob(&context, request);
  v1::WatchJobResponse response;
  while (reader->Read(&response)) {
    *has_answered = true;
    *last = std::move(*response.mutable_job());
    on_change(*last);
  }
  const grpc::Status status = reader->Finish();
  connection.FindLeader(status, std::chrono::steady_clock::now());  // for the next stream
  return status.ok() ? absl::OkStatus() : connection.InWords(status);
}

bool IsWorthWaitingFor(const absl::Status& status) {
  return status.ok() || absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status) || absl::IsCancelled(status);
}

}  // namespace

CallGuard::CallGuard(grpc::ClientContext& context, std::function<bool()> keep_going) {
  thread_ = std::thread([this, &context, keep_going = std::move(keep_going)] {
    std::unique_lock lock(mutex_);
    while (!changed_.wait_for(lock, std::chrono::milliseconds(50), [this] { return is_over_; })) {
      if (keep_going()) continue;
      context.TryCancel();
      return;
    }
  });
}

CallGuard::~CallGuard() {
  {
    std::lock_guard lock(mutex_);
    is_over_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

Connection::Connection(std::string address, bool has_tls, std::vector<Route> routes, std::unique_ptr<CallToken> token)
    : address_(std::move(address)), has_tls_(has_tls), token_(std::move(token)), routes_(std::move(routes)) {}

bool Connection::FindLeader(const grpc::Status& status, std::chrono::steady_clock::time_point began) {
  if (routes_.size() < 2 || status.error_code() != grpc::StatusCode::UNAVAILABLE) return false;
  if (std::chrono::steady_clock::now() - began > kLookForLeader) return false;
  current_ = (current_ + 1) % routes_.size();
  if (current_ == 0) std::this_thread::sleep_for(kBetweenRounds);
  return true;
}

absl::StatusOr<std::unique_ptr<Connection>> Connection::Open(const ConnectionOptions& options) {
  if (SplitAddresses(options.coordinator).empty()) {
    return absl::InvalidArgumentError(
        "no coordinator named: give --coordinator HOST:PORT or unix:PATH, or set ESPALIER_COORDINATOR");
  }
  const ChannelSecurity security{options.tls, options.tls_server_name, options.token_file};
  const std::vector<std::string> addresses = SplitAddresses(options.coordinator);
  grpc::ChannelArguments arguments = ArgumentsOf(addresses.size() > 1);
  SetSecurityArguments(security, &arguments);
  std::vector<Route> routes;
  for (const std::string& address : addresses) {
    ESPALIER_ASSIGN_OR_RETURN(const std::shared_ptr<grpc::ChannelCredentials> credentials,
                              MakeChannelCredentials(address, security));
    const auto channel = grpc::CreateCustomChannel(address, credentials, arguments);
    routes.push_back({v1::SearchService::NewStub(channel), v1::AdminService::NewStub(channel)});
  }
  ESPALIER_ASSIGN_OR_RETURN(std::unique_ptr<CallToken> token, CallToken::Open(options.token_file));
  return std::unique_ptr<Connection>(new Connection(options.coordinator, !options.tls.empty(), std::move(routes), std::move(token)));
}

void Connection::Prepare(grpc::ClientContext& context, absl::Duration limit) const {
  context.set_deadline(std::chrono::system_clock::now() + absl::ToChronoMilliseconds(limit));
  token_->AddTo(context);
}

absl::Status Connection::InWords(const grpc::Status& status) const {
  const absl::StatusCode code = static_cast<absl::StatusCode>(status.error_code());
  if (code == absl::StatusCode::kUnavailable) {
    // All that a plain-text client hears from a port that speaks TLS.
    const bool may_be_tls = !has_tls_ && absl::EndsWith(status.error_message(), "Socket closed");
    return absl::UnavailableError(absl::StrCat("no coordinator answers at '", address_, "': ", status.error_message(),
                                               may_be_tls ? "; if it speaks TLS, name its authority with --tls-ca" : ""));
  }
  return absl::Status(code, status.error_message());
}

bool HasEnded(const v1::Job& job) {
  return job.state() == v1::Job::SUCCEEDED || job.state() == v1::Job::FAILED || job.state() == v1::Job::CANCELLED;
}

absl::StatusOr<v1::Job> FollowJob(Connection& connection, const std::string& name, absl::Duration patience,
                                  const std::function<void(const v1::Job&)>& on_change,
                                  const std::function<bool()>& keep_going) {
  const SteadyClock clock;
  v1::Job last;
  absl::Time last_answer = clock.Now();
  while (true) {
    bool has_answered = false;
    const absl::Status status = WatchOnce(connection, name, &last, &has_answered, on_change, keep_going);
    if (has_answered) last_answer = clock.Now();
    if (has_answered && HasEnded(last)) return last;
    if (!keep_going()) return absl::CancelledError("interrupted");
    if (!IsWorthWaitingFor(status)) return status;
    if (clock.Now() - last_answer > patience) {
      return status.ok() ? absl::UnavailableError(
                               absl::StrCat("the coordinator at '", connection.address(), "' stopped answering"))
                         : status;
    }
    std::this_thread::sleep_for(kRetryEvery);
  }
}

}  // namespace espalier
