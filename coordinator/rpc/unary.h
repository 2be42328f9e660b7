// Unary calls that do their work on an executor.
#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include <utility>

#include "coordinator/rpc/executor.h"
#include "coordinator/rpc/status.h"

namespace espalier {

// `allowed` is the gate's answer; `work` fills the response and returns absl::Status. Request and response live until the
// call is finished.
template <typename Work>
grpc::ServerUnaryReactor* Unary(grpc::CallbackServerContext* context, const absl::Status& allowed, Executor& executor,
                                Work work) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  if (!allowed.ok()) {
    reactor->Finish(ToGrpc(allowed));
    return reactor;
  }
  if (!executor.TryPost([reactor, work = std::move(work)] { reactor->Finish(ToGrpc(work())); })) {
    reactor->Finish(ToGrpc(TooManyCalls()));
  }
  return reactor;
}

}  // namespace espalier
