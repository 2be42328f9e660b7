// The client's side of SearchService: one channel, a deadline on every call, statuses in words.
#pragma once

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/security/channel.h"
#include "espalier/v1/admin_service.grpc.pb.h"
#include "espalier/v1/search_service.grpc.pb.h"

namespace espalier {

struct ConnectionOptions {
  std::string coordinator;  // HOST:PORT or unix:PATH; several with commas: the one of them that leads
  std::string token_file;
  TlsFiles tls;                 // empty: plain text
  std::string tls_server_name;  // where the certificate has another name than the address
};

// Cancels a blocking call once `keep_going` says no. Must not outlive the context.
class CallGuard {
 public:
  CallGuard(grpc::ClientContext& context, std::function<bool()> keep_going);
  ~CallGuard();
  CallGuard(const CallGuard&) = delete;
  CallGuard& operator=(const CallGuard&) = delete;

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool is_over_ = false;  // guarded by mutex_
  std::thread thread_;
};

class Connection {
 public:
  // Does not wait for the coordinator. kInvalidArgument when no address was given, or the token file or a certificate
  // cannot be used.
  static absl::StatusOr<std::unique_ptr<Connection>> Open(const ConnectionOptions& options);

  // One unary call, e.g. Call(&Stub::GetJob, request). kUnavailable names the address.
  template <typename Request, typename Response>
  absl::StatusOr<Response> Call(grpc::Status (v1::SearchService::Stub::*method)(grpc::ClientContext*, const Request&,
                                                                                Response*),
                                const Request& request) {
    return Call(method, request, absl::Seconds(30), [] { return true; });
  }

  // The same with a limit of its own, for calls that may take long (a coordinator reads whole models before it answers
  // CreateJob); kCancelled when `keep_going` says no meanwhile.
  template <typename Request, typename Response>
  absl::StatusOr<Response> Call(grpc::Status (v1::SearchService::Stub::*method)(grpc::ClientContext*, const Request&,
                                                                                Response*),
                                const Request& request, absl::Duration limit, const std::function<bool()>& keep_going) {
    const auto began = std::chrono::steady_clock::now();
    while (true) {
      grpc::ClientContext context;
      Prepare(context, limit);
      const CallGuard guard(context, keep_going);
      Response response;
      const grpc::Status status = (stub().*method)(&context, request, &response);
      if (status.ok()) return response;
      if (!keep_going() || !FindLeader(status, began)) return InWords(status);
    }
  }

  // Of the coordinator that answered last.
  v1::SearchService::Stub& stub() { return *routes_[current_].search; }
  v1::AdminService::Stub& admin_stub() { return *routes_[current_].admin; }
  // After a call that began at `began` failed: true when another coordinator is to be tried (waits a moment between two
  // rounds over all of them); false when there is none, the failure is another one, or the time for looking is over.
  bool FindLeader(const grpc::Status& status, std::chrono::steady_clock::time_point began);
  // Sets deadline and credentials of a call that a caller makes itself (streams).
  void Prepare(grpc::ClientContext& context, absl::Duration limit) const;
  absl::Status InWords(const grpc::Status& status) const;
  const std::string& address() const { return address_; }

 private:
  struct Route {
    std::unique_ptr<v1::SearchService::Stub> search;
    std::unique_ptr<v1::AdminService::Stub> admin;
  };

  Connection(std::string address, bool has_tls, std::vector<Route> routes, std::unique_ptr<CallToken> token);

  const std::string address_;  // as given
  const bool has_tls_;
  const std::unique_ptr<CallToken> token_;
  const std::vector<Route> routes_;  // one for each address
  std::atomic<size_t> current_ = 0;
};

// Follows a job until it has ended or `keep_going` says no (kCancelled): `on_change` gets every state seen. A
// coordinator that goes away is waited for up to `patience` (kUnavailable after that).
absl::StatusOr<v1::Job> FollowJob(Connection& connection, const std::string& name, absl::Duration patience,
                                  const std::function<void(const v1::Job&)>& on_change,
                                  const std::function<bool()>& keep_going);

bool HasEnded(const v1::Job& job);

}  // namespace espalier
