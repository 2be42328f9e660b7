// grpc.health.v1, as a probe calls it: without a token, and without anything that was generated here.
#include <grpcpp/grpcpp.h>

#include <string>

#include "tests/integration/raw_call.h"
#include "tests/integration/service.h"

namespace espalier::testing {
namespace {

constexpr char kServing[] = "\x08\x01";  // HealthCheckResponse.status
constexpr char kNotServing[] = "\x08\x02";

// HealthCheckRequest.service, of less than 128 bytes.
std::string HealthRequest(const std::string& service) {
  return service.empty() ? "" : "\x0a" + std::string(1, static_cast<char>(service.size())) + service;
}

// A call of a method of grpc.health.v1.Health with its request sent.
class HealthCall : public RawCall {
 public:
  HealthCall(const std::string& address, const std::string& method, const std::string& service)
      : RawCall(grpc::CreateChannel(address, grpc::InsecureChannelCredentials()), "/grpc.health.v1.Health/" + method, "") {
    Send(HealthRequest(service));
  }
};

TEST_CASE("Health: a coordinator says that it serves, to callers without a token, and knows no other service", "[integration]") {
  const Service service("127.0.0.1:0", "0123456789abcdef0123456789abcdef");
  HealthCall whole(service.address(), "Check", "");
  CHECK(whole.Receive() == kServing);
  CHECK(whole.End() == grpc::StatusCode::OK);
  HealthCall unknown(service.address(), "Check", "espalier.v1.NoSuchService");
  CHECK(!unknown.Receive().has_value());
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
