// WorkerService: Synchronize, and the place where idle calls wait. A waiting call holds no thread. Calls that arrive while
// the core is busy are handled together, so that what they have in common is done once.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <queue>
#include <string>
#include <utility>
#include <vector>

#include "common/base/clock.h"
#include "coordinator/core/coordinator.h"
#include "coordinator/rpc/executor.h"
#include "coordinator/rpc/gate.h"
#include "espalier/v1/worker_service.grpc.pb.h"

namespace espalier {

class SyncReactor;

class WorkerServiceImpl final : public v1::WorkerService::CallbackService {
 public:
  // Calls beyond `max_pending` that wait to be handled are refused.
  WorkerServiceImpl(Coordinator* coordinator, const Clock* clock, const Gate* gate, Executor* executor, int max_pending);
  ~WorkerServiceImpl() override;

  grpc::ServerUnaryReactor* Synchronize(grpc::CallbackServerContext* context, const v1::SynchronizeRequest* request,
                                        v1::SynchronizeResponse* response) override;

  // The rest is called on the executor's thread only.
  void OnWorkersReady(const std::vector<std::string>& worker_ids);
  void Tick();   // answers calls that have waited long enough
  void Close();  // answers all, and lets no call wait from now on

 private:
  friend class SyncReactor;
  struct Parked {
    std::shared_ptr<SyncReactor> call;
    absl::Time until;
  };

  void HandlePending();
  void Handle(const std::vector<std::shared_ptr<SyncReactor>>& calls);
  void Release(std::string worker_id);  // a copy: the name may be the key of what it takes out
  void Cancel(const std::shared_ptr<SyncReactor>& call);

  Coordinator* coordinator_;
  const Clock* clock_;
  const Gate* gate_;
  Executor* executor_;
  const size_t max_pending_;
  std::map<std::string, Parked> parked_;  // by worker
  // When to look at whom; also of calls that were answered before.
  std::priority_queue<std::pair<absl::Time, std::string>, std::vector<std::pair<absl::Time, std::string>>, std::greater<>>
      looks_;
  bool is_closed_ = false;

  std::mutex mutex_;
  std::deque<std::shared_ptr<SyncReactor>> pending_;  // guarded by mutex_, as is_posted_
  bool is_posted_ = false;                            // HandlePending will run
};

}  // namespace espalier
