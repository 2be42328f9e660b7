#include "coordinator/rpc/watch_registry.h"

#include <mutex>
#include <utility>
#include <vector>

#include "coordinator/rpc/caller.h"
#include "coordinator/rpc/status.h"
#include "coordinator/rpc/view_conversion.h"

namespace espalier {

// Its fields are touched on the executor's thread only; gRPC's reactions post there.
class WatchReactor final : public grpc::ServerWriteReactor<v1::WatchJobResponse> {
 public:
  static WatchReactor* Make(WatchRegistry* registry, std::string job_id, grpc::CallbackServerContext* context,
                            const absl::Status& refusal, Quota::Ticket ticket) {
    auto reactor = std::shared_ptr<WatchReactor>(new WatchReactor(registry, std::move(job_id)));
    reactor->self_ = reactor;
    reactor->ticket_ = std::move(ticket);
    reactor->context_ = context;
    if (!refusal.ok()) {
      reactor->is_finished = true;
      reactor->Finish(ToGrpc(refusal));
    } else {
      registry->executor_->Post([registry, reactor] {
        registry->watches_.insert(reactor);
        WatchRegistry::Made made;
        registry->Pump(reactor, made);
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
  void OnDone() override {
    const std::shared_ptr<WatchReactor> self = std::move(self_);  // until the lock is given up
    const std::lock_guard lock(mutex_);
    context_ = nullptr;  // goes with the call
  }

  void End(const grpc::Status& status) {
    if (std::exchange(is_finished, true)) return;
    ticket_.reset();  // before its reader hears of the end, and may come again
    Finish(status);
  }

  // Breaks the stream, whatever its reader does. False when it has ended already.
  bool CutOff() {
    const std::lock_guard lock(mutex_);
    if (context_ != nullptr) context_->TryCancel();
    return context_ != nullptr;
  }

  const std::string job_id;
  v1::WatchJobResponse message;
  int64_t sent_version = 0;
  absl::Time write_began;
  bool has_sent_last = false;
  bool is_writing = false;
  bool is_finished = false;

 private:
  WatchReactor(WatchRegistry* registry, std::string job) : job_id(std::move(job)), registry_(registry) {}

  WatchRegistry* registry_;
  std::shared_ptr<WatchReactor> self_;  // held until gRPC is done with it
  Quota::Ticket ticket_;
  std::mutex mutex_;
  grpc::CallbackServerContext* context_ = nullptr;  // guarded by mutex_; null when the call is over
};

WatchRegistry::WatchRegistry(Coordinator* coordinator, const Clock* clock, Executor* executor, const Limits& limits)
    : coordinator_(coordinator),
      clock_(clock),
      executor_(executor),
      patience_(limits.watch_patience),
      quota_("WatchJob streams", limits.max_watches, limits.max_watches_per_caller) {}

WatchRegistry::~WatchRegistry() = default;

grpc::ServerWriteReactor<v1::WatchJobResponse>* WatchRegistry::Start(const absl::Status& refusal,
                                                                     grpc::CallbackServerContext* context,
                                                                     const std::string& job_id) {
  if (!refusal.ok()) return WatchReactor::Make(this, job_id, context, refusal, nullptr);
  absl::StatusOr<Quota::Ticket> ticket = quota_.Take(CallerOf(*context));
  if (!ticket.ok()) return WatchReactor::Make(this, job_id, context, ticket.status(), nullptr);
  return WatchReactor::Make(this, job_id, context, absl::OkStatus(), *std::move(ticket));
}

void WatchRegistry::Remove(const std::shared_ptr<WatchReactor>& watch) {
  watches_.erase(watch);
  watch->End(grpc::Status::CANCELLED);
}

bool WatchRegistry::DropIfSlow(const std::shared_ptr<WatchReactor>& watch, absl::Time now) {
  if (!watch->is_writing || now - watch->write_began < patience_) return false;
  watches_.erase(watch);
  // Comes to it after the message that it does not take, should it read on after all.
  watch->End(grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED,
                          "this reader took no state for " + absl::FormatDuration(patience_) +
                              "; read faster, and watch again to go on from the present state"));
  dropped_.push_back({watch, now + patience_});
  return true;
}

void WatchRegistry::Pump(const std::shared_ptr<WatchReactor>& watch, Made& made) {
  const absl::Time now = clock_->Now();
  if (watch->is_finished || DropIfSlow(watch, now) || watch->is_writing) return;
  if (is_closed_) return watch->End(grpc::Status(grpc::StatusCode::UNAVAILABLE, "the coordinator ends"));
  if (watch->has_sent_last) {
    watches_.erase(watch);
    return watch->End(grpc::Status::OK);
  }
  const absl::StatusOr<int64_t> version = coordinator_->JobVersion(watch->job_id);
  if (version.ok() && *version == watch->sent_version) return;
  auto known = made.find(watch->job_id);
  if (known == made.end()) {
    const absl::StatusOr<JobView> view = coordinator_->GetJob(now, watch->job_id);
    if (!view.ok()) {
      watches_.erase(watch);
      return watch->End(ToGrpc(view.status()));
    }
    known = made.emplace(watch->job_id, State{{}, IsFinal(view->state)}).first;
    *known->second.message.mutable_job() = ToProto(*view);
    known->second.message.set_version(view->version);
  }
  watch->has_sent_last = known->second.is_last;
  watch->message = known->second.message;
  watch->sent_version = watch->message.version();
  watch->is_writing = true;
  watch->write_began = now;
  watch->StartWrite(&watch->message);
}

void WatchRegistry::Tick() {
  const absl::Time now = clock_->Now();
  std::erase_if(dropped_, [&](const auto& dropped) { return now >= dropped.second && (dropped.first->CutOff(), true); });
  Made made;
  const std::vector<std::shared_ptr<WatchReactor>> watches(watches_.begin(), watches_.end());
  for (const std::shared_ptr<WatchReactor>& watch : watches) Pump(watch, made);
}

void WatchRegistry::Close() {
  is_closed_ = true;
  for (const std::shared_ptr<WatchReactor>& watch : watches_) {
    watch->End(grpc::Status(grpc::StatusCode::UNAVAILABLE, "the coordinator ends"));
  }
  watches_.clear();
  dropped_.clear();
}

}  // namespace espalier
