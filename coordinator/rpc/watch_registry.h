// The open WatchJob streams. A stream is written to at most once a tick and never while its last message is under way, so
// a slow reader misses states in between and costs nobody else anything. One that takes nothing for long is dropped.
#pragma once

#include <grpcpp/support/server_callback.h>

#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "common/base/clock.h"
#include "coordinator/core/coordinator.h"
#include "coordinator/rpc/executor.h"
#include "coordinator/rpc/quota.h"
#include "espalier/v1/search_service.pb.h"

namespace espalier {

class WatchReactor;

// All but Start is called on the executor's thread.
class WatchRegistry {
 public:
  WatchRegistry(Coordinator* coordinator, const Clock* clock, Executor* executor, const Limits& limits);
  ~WatchRegistry();

  // A reactor that gRPC owns; `refusal` not OK: it ends at once with it. `context` is the call's, which lives as long.
  grpc::ServerWriteReactor<v1::WatchJobResponse>* Start(const absl::Status& refusal, grpc::CallbackServerContext* context,
                                                        const std::string& job_id);

  // Writes to every stream whose job has changed.
  void Tick();
  // Ends every stream.
  void Close();

 private:
  friend class WatchReactor;
  // States of jobs, as messages, made once for all streams of a tick.
  struct State {
    v1::WatchJobResponse message;
    bool is_last = false;
  };
  using Made = std::map<std::string, State>;
  void Pump(const std::shared_ptr<WatchReactor>& watch, Made& made);
  // Whether the reader has kept us waiting for too long; then it is told, and cut off when it does not hear that either.
  bool DropIfSlow(const std::shared_ptr<WatchReactor>& watch, absl::Time now);
  void Remove(const std::shared_ptr<WatchReactor>& watch);

  Coordinator* coordinator_;
  const Clock* clock_;
  Executor* executor_;
  const absl::Duration patience_;
  Quota quota_;
  std::set<std::shared_ptr<WatchReactor>> watches_;
  // With the time at which they are cut off.
  std::vector<std::pair<std::shared_ptr<WatchReactor>, absl::Time>> dropped_;
  bool is_closed_ = false;
};

}  // namespace espalier
