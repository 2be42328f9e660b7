// What the shells around the core tell of the calls that they answer, for metrics.
#pragma once

#include <string>

#include "absl/time/time.h"

namespace espalier {

class CallObserver {
 public:
  virtual ~CallObserver() = default;
  // A gRPC call has ended. `method`: "CreateJob"; `code`: "OK", "UNAVAILABLE". Thread-safe.
  virtual void OnCall(const std::string& /*method*/, const std::string& /*code*/, absl::Duration /*took*/) {}
  // The thread that runs what is due began so long after it should have.
  virtual void OnTick(absl::Duration /*late*/) {}
};

}  // namespace espalier
