#include "coordinator/rpc/watch_registry.h"

#include <utility>
#include <vector>

#include "coordinator/rpc/status.h"
#include "coordinator/rpc/view_conversion.h"

namespace espalier {

// Its fields are touched on the executor's thread only; gRPC's reactions post there.
class WatchReactor final : public grpc::ServerWriteReactor<v1::WatchJobResponse> {
 public:
  static WatchReactor* Make(WatchRegistry* registry, std::string job_id, const absl::Status& refusal) {
    auto reactor = std::shared_ptr<WatchReactor>(new WatchReactor(registry, std::move(job_id)));
    reactor->self_ = reactor;
    if (!refusal.ok()) {
      reactor->is_finished = true;
      reactor->Finish(ToGrpc(refusal));
    } else {
      registry->executor_->Post([registry, reactor] {
        registry->watches_.insert(reactor);
        registry->Pump(reactor);
      });
    }
    return reactor.get();
  }

  void OnWriteDone(bool ok) override {
    registry_->executor_->Post([registry = registry_, self = self_, ok] {
      self->is_writing = false;
      if (!ok) registry->Remove(self);
    });
  }
  void OnCancel() override {
    registry_->executor_->Post([registry = registry_, self = self_] { registry->Remove(self); });
  }
  void OnDone() override { self_.reset(); }

  void End(const grpc::Status& status) {
    if (std::exchange(is_finished, true)) return;
    Finish(status);
  }

  const std::string job_id;
  v1::WatchJobResponse message;
  int64_t sent_version = 0;
  bool is_writing = false;
  bool is_finished = false;

 private:
  WatchReactor(WatchRegistry* registry, std::string job) : job_id(std::move(job)), registry_(registry) {}

  WatchRegistry* registry_;
  std::shared_ptr<WatchReactor> self_;  // held until gRPC is done with it
};

WatchRegistry::WatchRegistry(Coordinator* coordinator, const Clock* clock, Executor* executor)
    : coordinator_(coordinator), clock_(clock), executor_(executor) {}

WatchRegistry::~WatchRegistry() = default;

grpc::ServerWriteReactor<v1::WatchJobResponse>* WatchRegistry::Start(const absl::Status& refusal,
                                                                     const std::string& job_id) {
  return WatchReactor::Make(this, job_id, refusal);
}

void WatchRegistry::Remove(const std::shared_ptr<WatchReactor>& watch) {
  watches_.erase(watch);
  watch->End(grpc::Status::CANCELLED);
}

void WatchRegistry::Pump(const std::shared_ptr<WatchReactor>& watch) {
  if (watch->is_writing || watch->is_finished) return;
  if (is_closed_) return watch->End(grpc::Status(grpc::StatusCode::UNAVAILABLE, "the coordinator ends"));
  const absl::StatusOr<JobView> view = coordinator_->GetJob(clock_->Now(), watch->job_id);
  if (!view.ok()) {
    watches_.erase(watch);
    return watch->End(ToGrpc(view.status()));
  }
  const bool is_last = IsFinal(view->state);
  if (view->version != watch->sent_version) {
    watch->sent_version = view->version;
    *watch->message.mutable_job() = ToProto(*view);
    watch->message.set_version(view->version);
    watch->is_writing = true;
    watch->StartWrite(&watch->message);
  } else if (is_last) {
    watches_.erase(watch);
    watch->End(grpc::Status::OK);
  }
}

void WatchRegistry::Tick() {
  const std::vector<std::shared_ptr<WatchReactor>> watches(watches_.begin(), watches_.end());
  for (const std::shared_ptr<WatchReactor>& watch : watches) Pump(watch);
}

void WatchRegistry::Close() {
  is_closed_ = true;
  for (const std::shared_ptr<WatchReactor>& watch : watches_) {
    watch->End(grpc::Status(grpc::StatusCode::UNAVAILABLE, "the coordinator ends"));
  }
  watches_.clear();
}

}  // namespace espalier
