// Tells an observer of each call that the server has answered: what it was, how it ended, how long it took.
#pragma once

#include <grpcpp/support/server_interceptor.h>

#include <memory>

#include "coordinator/core/call_observer.h"

namespace espalier {

// For grpc::ServerBuilder; `observer` outlives the server.
std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface> MakeCallMeter(CallObserver* observer);

}  // namespace espalier
