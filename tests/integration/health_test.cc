// grpc.health.v1, as a probe calls it: without a token, and without anything that was generated here.
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <chrono>
#include <string>

#include "tests/integration/service.h"

namespace espalier::testing {
namespace {

constexpr char kServing[] = "\x08\x01";  // HealthCheckResponse.status
constexpr char kNotServing[] = "\x08\x02";

// HealthCheckRequest.service, of less than 128 bytes.
std::string HealthRequest(const std::string& service) {
  return service.empty() ? "" : "\x0a" + std::string(1, static_cast<char>(service.size())) + service;
}

// One call of a method of grpc.health.v1.Health.
class HealthCall {
 public:
  HealthCall(const std::string& address, const std::string& method, const std::string& service)
      : stub_(grpc::CreateChannel(address, grpc::InsecureChannelCredentials())) {
    context_.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
    call_ = stub_.PrepareCall(&context_, "/grpc.health.v1.Health/" + method, &queue_);
    call_->StartCall(nullptr);
    Next();
    const grpc::Slice slice(HealthRequest(service));
    call_->WriteLast(grpc::ByteBuffer(&slice, 1), {}, nullptr);
    Next();
  }
  ~HealthCall() {
    context_.TryCancel();
    queue_.Shutdown();
    void* tag = nullptr;
    bool ok = false;
    while (queue_.Next(&tag, &ok)) {
    }
  }

  // "": there is none.
  std::string Receive() {
    grpc::ByteBuffer buffer;
    call_->Read(&buffer, nullptr);
    if (!Next()) return "";
    grpc::Slice slice;
    REQUIRE(buffer.DumpToSingleSlice(&slice).ok());
    return std::string(reinterpret_cast<const char*>(slice.begin()), slice.size());
  }
  grpc::StatusCode End() {
    grpc::Status status;
    call_->Finish(&status, nullptr);
    Next();
    return status.error_code();
  }

 private:
  bool Next() {
    void* tag = nullptr;
    bool ok = false;
    REQUIRE(queue_.Next(&tag, &ok));
    return ok;
  }

  grpc::GenericStub stub_;
  grpc::CompletionQueue queue_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::GenericClientAsyncReaderWriter> call_;
};

TEST_CASE("Health: a coordinator says that it serves, to callers without a token, and knows no other service", "[integration]") {
  const Service service("127.0.0.1:0", "0123456789abcdef0123456789abcdef");
  HealthCall whole(service.address(), "Check", "");
  CHECK(whole.Receive() == kServing);
  CHECK(whole.End() == grpc::StatusCode::OK);
  HealthCall unknown(service.address(), "Check", "espalier.v1.NoSuchService");
  CHECK(unknown.Receive().empty());
  CHECK(unknown.End() == grpc::StatusCode::NOT_FOUND);
}

TEST_CASE("Health: who watches a coordinator is told that it stops", "[integration]") {
  Service service("", std::nullopt);
  HealthCall watch(service.address(), "Watch", "");
  CHECK(watch.Receive() == kServing);
  service.Stop();
  CHECK(watch.Receive() == kNotServing);
}

}  // namespace
}  // namespace espalier::testing
