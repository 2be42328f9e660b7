// The open WatchJob streams. A stream is written to at most once a tick and never while its last message is under way, so
// a slow reader misses states in between and costs nobody else anything.
#pragma once

#include <grpcpp/support/server_callback.h>

#include <memory>
#include <set>
#include <string>

#include "common/base/clock.h"
#include "coordinator/core/coordinator.h"
#include "coordinator/rpc/executor.h"
#include "espalier/v1/search_service.pb.h"

namespace espalier {

class WatchReactor;

// All but Start is called on the executor's thread.
class WatchRegistry {
 public:
  WatchRegistry(Coordinator* coordinator, const Clock* clock, Executor* executor);
  ~WatchRegistry();

  // A reactor that gRPC owns; `refusal` not OK: it ends at once with it.
  grpc::ServerWriteReactor<v1::WatchJobResponse>* Start(const absl::Status& refusal, const std::string& job_id);

  // Writes to every stream whose job has changed.
  void Tick();
  // Ends every stream.
  void Close();

 private:
  friend class WatchReactor;
  void Pump(const std::shared_ptr<WatchReactor>& watch);
  void Remove(const std::shared_ptr<WatchReactor>& watch);

  Coordinator* coordinator_;
  const Clock* clock_;
  Executor* executor_;
  std::set<std::shared_ptr<WatchReactor>> watches_;
  bool is_closed_ = false;
};

}  // namespace espalier
