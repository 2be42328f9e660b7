// Every method of the services, called with tokens of every role.
#include <google/protobuf/descriptor.h>
#include <grpcpp/generic/generic_stub.h>
#include <sys/stat.h>

#include <set>

#include "common/base/files.h"
#include "coordinator/rpc/method_roles.h"
#include "tests/integration/remote.h"
#include "tests/integration/service.h"

namespace espalier::testing {
namespace {

std::vector<const google::protobuf::MethodDescriptor*> AllMethods() {
  // Naming a message of each file makes sure that it is linked in.
  const google::protobuf::FileDescriptor* files[] = {v1::GetJobRequest::descriptor()->file(),
                                                     v1::SynchronizeRequest::descriptor()->file()};
  std::vector<const google::protobuf::MethodDescriptor*> methods;
  for (const auto* file : files) {
    REQUIRE(file->service_count() > 0);
    for (int i = 0; i < file->service_count(); ++i) {
      for (int j = 0; j < file->service(i)->method_count(); ++j) methods.push_back(file->service(i)->method(j));
    }
  }
  return methods;
}

// Sends one empty message, whatever kind of call it is.
grpc::StatusCode CallWith(const std::shared_ptr<grpc::Channel>& channel, const std::string& method,
                          const std::string& authorization) {
  grpc::GenericStub stub(channel);
  grpc::CompletionQueue queue;
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
  if (!authorization.empty()) context.AddMetadata("authorization", authorization);
  const auto wait = [&queue] {
    void* tag = nullptr;
    bool ok = false;
    REQUIRE(queue.Next(&tag, &ok));
  };
  const auto call = stub.PrepareCall(&context, method, &queue);
  call->StartCall(nullptr);
  wait();
  grpc::Slice nothing;
  call->WriteLast(grpc::ByteBuffer(&nothing, 1), {}, nullptr);
  wait();
  grpc::Status status;
  call->Finish(&status, nullptr);
  wait();
  queue.Shutdown();
  return status.error_code();
}

TEST_CASE("Roles: every method of every service has one", "[integration]") {
  std::set<std::string> names;
  for (const auto* method : AllMethods()) {
    INFO(method->full_name() << " has no line in coordinator/rpc/method_roles.cc");
    CHECK(RoleFor(method->full_name()).has_value());
    names.insert(method->full_name());
  }
  CHECK(names.size() >= 14);
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
  for (const auto* method : AllMethods()) {
    const std::string path = absl::StrCat("/", method->service()->full_name(), "/", method->name());
    CAPTURE(path);
    CHECK(CallWith(channel, path, "") == grpc::StatusCode::UNAUTHENTICATED);
    CHECK(CallWith(channel, path, "Bearer nobody-0123456789") == grpc::StatusCode::UNAUTHENTICATED);
    CHECK(CallWith(channel, path, token_of.at("submit")) == grpc::StatusCode::UNAUTHENTICATED);
    const Role needed = *RoleFor(method->full_name());
    for (const auto& [role, token] : token_of) {
      CAPTURE(role);
      const bool is_allowed = role == Name(needed) || (role == "submit" && needed == Role::kRead);
      const grpc::StatusCode code = CallWith(channel, path, absl::StrCat("Bearer ", token));
      CHECK((code == grpc::StatusCode::PERMISSION_DENIED) == !is_allowed);
      CHECK(code != grpc::StatusCode::UNAUTHENTICATED);
      CHECK(code != grpc::StatusCode::UNIMPLEMENTED);
      num_allowed += is_allowed ? 1 : 0;
    }
  }
  CHECK(num_allowed > 14);
}

}  // namespace
}  // namespace espalier::testing
