#include "coordinator/rpc/call_meter.h"

#include <string>

#include "absl/status/status.h"
#include "absl/time/clock.h"

namespace espalier {
namespace {

namespace interceptor = grpc::experimental;

// One call; gRPC deletes it when the call has ended.
class MeteredCall final : public interceptor::Interceptor {
 public:
  MeteredCall(CallObserver* observer, const char* full_method) : observer_(observer), began_(absl::GetCurrentTimeNanos()) {
    const std::string text(full_method);  // "/espalier.v1.SearchService/CreateJob"
    method_ = text.substr(text.rfind('/') + 1);
  }
  ~MeteredCall() override {
    observer_->OnCall(method_, absl::StatusCodeToString(code_), absl::Nanoseconds(absl::GetCurrentTimeNanos() - began_));
  }

  void Intercept(interceptor::InterceptorBatchMethods* methods) override {
    if (methods->QueryInterceptionHookPoint(interceptor::InterceptionHookPoints::PRE_SEND_STATUS)) {
      code_ = static_cast<absl::StatusCode>(methods->GetSendStatus().error_code());
    }
    methods->Proceed();
  }

 private:
  CallObserver* observer_;
  const int64_t began_;  // by the machine's clock: no decision depends on it
  std::string method_;
  absl::StatusCode code_ = absl::StatusCode::kCancelled;  // unless a status is sent
};

class CallMeter final : public interceptor::ServerInterceptorFactoryInterface {
 public:
  explicit CallMeter(CallObserver* observer) : observer_(observer) {}
  interceptor::Interceptor* CreateServerInterceptor(interceptor::ServerRpcInfo* info) override {
    return new MeteredCall(observer_, info->method());
  }

 private:
  CallObserver* observer_;
};

}  // namespace

std::unique_ptr<interceptor::ServerInterceptorFactoryInterface> MakeCallMeter(CallObserver* observer) {
  return std::make_unique<CallMeter>(observer);
}

}  // namespace espalier
