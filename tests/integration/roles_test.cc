// Every method of the services, called with tokens of every role.
#include <google/protobuf/descriptor.h>
#include <sys/stat.h>

#include <mutex>
#include <regex>
#include <set>
#include <utility>

#include "common/base/files.h"
#include "common/security/channel.h"
#include "coordinator/rpc/method_roles.h"
#include "tests/integration/raw_call.h"
#include "tests/integration/remote.h"
#include "tests/integration/service.h"

namespace espalier::testing {
namespace {

// Of all services of ours that the server says it has.
std::vector<const google::protobuf::MethodDescriptor*> AllMethods(const std::shared_ptr<grpc::Channel>& channel) {
  RawCall reflection(channel, "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", "");
  reflection.Send("\x3a\x01*");  // ServerReflectionRequest.list_services
  const std::optional<std::string> answer = reflection.Receive();
  REQUIRE(answer.has_value());
  reflection.End();
  static const std::regex kName(R"(espalier\.v1\.\w+)");
  std::vector<const google::protobuf::MethodDescriptor*> methods;
  for (std::sregex_iterator match(answer->begin(), answer->end(), kName), end; match != end; ++match) {
    const auto* service = google::protobuf::DescriptorPool::generated_pool()->FindServiceByName(match->str());
    INFO(match->str());
    REQUIRE(service != nullptr);
    for (int i = 0; i < service->method_count(); ++i) methods.push_back(service->method(i));
  }
  return methods;
}

// The status after one empty message.
grpc::StatusCode CallWith(const std::shared_ptr<grpc::Channel>& channel, const std::string& method,
                          const std::string& authorization, std::chrono::seconds deadline = std::chrono::seconds(20)) {
  RawCall call(channel, method, authorization, deadline);
  call.Send("");
  return call.End();
}

TEST_CASE("Roles: every method of every service has one", "[integration]") {
  const Service service("", std::nullopt);
  std::set<std::string> names;
  for (const auto* method : AllMethods(grpc::CreateChannel(service.address(), grpc::InsecureChannelCredentials()))) {
    INFO(method->full_name() << " has no line in coordinator/rpc/method_roles.cc");
    CHECK(RoleFor(method->full_name()).has_value());
    names.insert(method->full_name());
  }
  CHECK(names.size() >= 14);
  CHECK(names.contains("espalier.v1.SearchService.CreateJob"));
  CHECK(names.contains("espalier.v1.WorkerService.Synchronize"));
  CHECK_FALSE(RoleFor("espalier.v1.SearchService.NoSuchMethod").has_value());
}

TEST_CASE("Roles: a token opens the methods of its role and no other", "[integration]") {
  const TempDir folder;
  const std::map<std::string, std::string> token_of = {
      {"read", "reader-0123456789"}, {"submit", "submitter-0123456789"}, {"work", "worker-0123456789"}};
  std::string lines;
  for (const auto& [role, token] : token_of) absl::StrAppend(&lines, role, " ", token, " ", role, "-holder\n");
  REQUIRE_OK(WriteFileAtomically(folder / "tokens", lines));
  REQUIRE(::chmod((folder / "tokens").c_str(), 0600) == 0);
  const SteadyClock clock;
  const auto authority = TokenAuthority::FromFile(folder / "tokens", TokenAuthority::Format::kTable, &clock,
                                                  absl::Seconds(1), nullptr);
  REQUIRE_OK(authority);
  ServerOptions options;
  options.authority = authority->get();
  const Service service("127.0.0.1:0", std::nullopt, options);
  const auto channel = grpc::CreateChannel(service.address(), grpc::InsecureChannelCredentials());

  int num_allowed = 0;
  for (const auto* method : AllMethods(channel)) {
    const std::string path = absl::StrCat("/", method->service()->full_name(), "/", method->name());
    CAPTURE(path);
    CHECK(CallWith(channel, path, "") == grpc::StatusCode::UNAUTHENTICATED);
    CHECK(CallWith(channel, path, "Bearer nobody-0123456789") == grpc::StatusCode::UNAUTHENTICATED);
    CHECK(CallWith(channel, path, token_of.at("submit")) == grpc::StatusCode::UNAUTHENTICATED);
    const Role needed = *RoleFor(method->full_name());
    for (const auto& [role, token] : token_of) {
      CAPTURE(role);
      const bool is_allowed = role == Name(needed) || (role == "submit" && needed == Role::kRead);
      // Some methods answer an allowed call only when there is news: the end of a short deadline is an answer, too.
      const std::chrono::seconds deadline(is_allowed ? 2 : 20);
      const grpc::StatusCode code = CallWith(channel, path, absl::StrCat("Bearer ", token), deadline);
      CHECK((code == grpc::StatusCode::PERMISSION_DENIED) == !is_allowed);
      CHECK(code != grpc::StatusCode::UNAUTHENTICATED);
      CHECK(code != grpc::StatusCode::UNIMPLEMENTED);
      num_allowed += is_allowed ? 1 : 0;
    }
  }
  CHECK(num_allowed > 14);
}

class Recorder final : public GateObserver {
 public:
  void OnAllowed(const char* method, Role, const std::string& who, const std::string& peer) override {
    Add(absl::StrCat(who, " ", method, peer.empty() ? "" : " from somewhere"));
  }
  void OnRefused(const char* method, const absl::Status& why, const std::string&) override {
    Add(absl::StrCat(method, " ", absl::StatusCodeToString(why.code())));
  }
  std::vector<std::string> Take() {
    std::lock_guard lock(mutex_);
    return std::exchange(seen_, {});
  }

 private:
  void Add(std::string what) {
    std::lock_guard lock(mutex_);
    seen_.push_back(std::move(what));
  }
  std::mutex mutex_;
  std::vector<std::string> seen_;  // guarded by mutex_
};

TEST_CASE("Tokens: a caller sends the new token once its file has changed, and the log knows who it was", "[integration]") {
  const TempDir folder;
  const auto write = [&](const std::string& name, const std::string& text) {
    REQUIRE_OK(WriteFileAtomically(folder / name, text));
    REQUIRE(::chmod((folder / name).c_str(), 0600) == 0);
  };
  write("tokens", "read first-token-0123456789 anna\nread second-token-0123456789 berta\n");
  write("mine", "first-token-0123456789\n");
  const SteadyClock clock;
  const auto authority = TokenAuthority::FromFile(folder / "tokens", TokenAuthority::Format::kTable, &clock,
                                                  absl::Seconds(1), nullptr);
  REQUIRE_OK(authority);
  Recorder recorder;
  ServerOptions options;
  options.authority = authority->get();
  options.gate_observer = &recorder;
  const Service service("127.0.0.1:0", std::nullopt, options);
  const Client client(service.address(), "");
  const auto token = CallToken::Open(folder / "mine");
  REQUIRE_OK(token);
  const auto call = [&] {
    const auto context = client.Context(10);
    (*token)->AddTo(*context);
    v1::ListJobsResponse jobs;
    client.search->ListJobs(context.get(), {}, &jobs);
    return recorder.Take();
  };
  using Names = std::vector<std::string>;
  CHECK(call() == Names{"anna ListJobs from somewhere"});
  write("mine", "second-token-0123456789\n");
  CHECK(call() == Names{"berta ListJobs from somewhere"});
  write("mine", "short\n");  // the earlier one goes on
  CHECK(call() == Names{"berta ListJobs from somewhere"});
  write("mine", "nobodys-token-0123456789\n");
  CHECK(call() == Names{"ListJobs UNAUTHENTICATED"});
}

}  // namespace
}  // namespace espalier::testing
