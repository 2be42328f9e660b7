#include "coordinator/rpc/worker_service.h"

#include <algorithm>
#include <set>
#include <utility>

#include "common/wire/synchronize_conversion.h"
#include "coordinator/rpc/status.h"

namespace espalier {
namespace {

constexpr size_t kMaxTogether = 256;  // so that no call waits long for the others' answers
constexpr size_t kMaxReleases = 32;   // of waiting calls at a time

}  // namespace

// Fields are touched on the executor's thread once the call has been posted there.
class SyncReactor final : public grpc::ServerUnaryReactor {
 public:
  static std::shared_ptr<SyncReactor> Make(WorkerServiceImpl* service, v1::SynchronizeResponse* response) {
    auto reactor = std::shared_ptr<SyncReactor>(new SyncReactor(service, response));
    reactor->self_ = reactor;
    return reactor;
  }

  void OnCancel() override {
    service_->executor_->Post([service = service_, self = self_] { service->Cancel(self); });
  }
  void OnDone() override { self_.reset(); }

  void Answer(const absl::StatusOr<SynchronizeResponse>& answer) {
    if (std::exchange(is_finished, true)) return;
    if (answer.ok()) *response_ = wire::ToProto(*answer);
    Finish(ToGrpc(answer.status()));
  }

  SynchronizeRequest request;
  bool is_finished = false;

 private:
  SyncReactor(WorkerServiceImpl* service, v1::SynchronizeResponse* response) : service_(service), response_(response) {}

  WorkerServiceImpl* service_;
  v1::SynchronizeResponse* response_;
  std::shared_ptr<SyncReactor> self_;  // held until gRPC is done with it
};

WorkerServiceImpl::WorkerServiceImpl(Coordinator* coordinator, const Clock* clock, const Gate* gate, Executor* executor,
                                     int max_pending)
    : coordinator_(coordinator),
      clock_(clock),
      gate_(gate),
      executor_(executor),
      max_pending_(static_cast<size_t>(max_pending)) {}

WorkerServiceImpl::~WorkerServiceImpl() = default;

grpc::ServerUnaryReactor* WorkerServiceImpl::Synchronize(grpc::CallbackServerContext* context,
                                                         const v1::SynchronizeRequest* request,
                                                         v1::SynchronizeResponse* response) {
  absl::Status status = gate_->Check(*context, v1::WorkerService::service_full_name(), "Synchronize");
  absl::StatusOr<SynchronizeRequest> converted = absl::UnknownError("");
  if (status.ok()) {
    converted = wire::FromProto(*request);
    status = converted.status();
  }
  const std::shared_ptr<SyncReactor> call = SyncReactor::Make(this, response);
  if (!status.ok()) {
    call->Answer(status);
    return call.get();
  }
  call->request = *std::move(converted);
  bool is_first = false;
  bool is_taken = true;
  {
    const std::lock_guard lock(mutex_);
    is_taken = pending_.size() < max_pending_;
    if (is_taken) pending_.push_back(call);
    if (is_taken) is_first = !std::exchange(is_posted_, true);
  }
  if (!is_taken) call->Answer(TooManyCalls());
  if (is_first) executor_->Post([this] { HandlePending(); });
  return call.get();
}

void WorkerServiceImpl::HandlePending() {
  std::vector<std::shared_ptr<SyncReactor>> calls;
  std::set<std::string> workers;
  bool is_more = false;
  {
    const std::lock_guard lock(mutex_);
    while (!pending_.empty() && calls.size() < kMaxTogether) {
      if (!workers.insert(pending_.front()->request.worker_id).second) break;  // a newer call of a worker: the next time
      calls.push_back(std::move(pending_.front()));
      pending_.pop_front();
    }
    is_more = is_posted_ = !pending_.empty();
  }
  if (is_more) executor_->Post([this] { HandlePending(); });
  Handle(calls);
}

void WorkerServiceImpl::Handle(const std::vector<std::shared_ptr<SyncReactor>>& calls) {
  std::vector<std::shared_ptr<SyncReactor>> open;
  std::vector<const SynchronizeRequest*> requests;
  for (const std::shared_ptr<SyncReactor>& call : calls) {
    if (call->is_finished) continue;
    // A worker has one call at a time; an older one is of a connection that it has given up.
    if (const auto older = parked_.find(call->request.worker_id); older != parked_.end()) {
      older->second.call->Answer(absl::AbortedError("a newer call of this worker has arrived"));
      parked_.erase(older);
    }
    open.push_back(call);
    requests.push_back(&call->request);
  }
  const absl::Time now = clock_->Now();
  std::vector<absl::StatusOr<Coordinator::SyncAnswer>> answers = coordinator_->SynchronizeAll(now, requests);
  for (size_t i = 0; i < open.size(); ++i) {
    if (!answers[i].ok()) {
      open[i]->Answer(answers[i].status());
    } else if (answers[i]->wait.has_value() && !is_closed_) {
      parked_[open[i]->request.worker_id] = {open[i], now + *answers[i]->wait};
      looks_.emplace(now + *answers[i]->wait, open[i]->request.worker_id);
    } else {
      open[i]->Answer(std::move(answers[i]->response));
    }
  }
}

void WorkerServiceImpl::Release(std::string worker_id) {
  const auto found = parked_.find(worker_id);
  if (found == parked_.end()) return;
  const std::shared_ptr<SyncReactor> call = found->second.call;
  parked_.erase(found);
  call->Answer(coordinator_->Collect(clock_->Now(), worker_id));
}

void WorkerServiceImpl::Cancel(const std::shared_ptr<SyncReactor>& call) {
  const auto found = parked_.find(call->request.worker_id);
  if (found != parked_.end() && found->second.call == call) {
    parked_.erase(found);
    coordinator_->StopWaiting(clock_->Now(), call->request.worker_id);
  }
  call->Answer(absl::CancelledError("the call was given up"));
}

void WorkerServiceImpl::OnWorkersReady(const std::vector<std::string>& worker_ids) {
  const size_t count = std::min(worker_ids.size(), kMaxReleases);
  for (size_t i = 0; i < count; ++i) Release(worker_ids[i]);
  if (count == worker_ids.size()) return;
  // A generation that begins answers hundreds of workers; calls that have come meanwhile go between them.
  executor_->Post([this, rest = std::vector<std::string>(worker_ids.begin() + static_cast<int64_t>(count), worker_ids.end())] {
    OnWorkersReady(rest);
  });
}

void WorkerServiceImpl::Tick() {
  const absl::Time now = clock_->Now();
  while (!looks_.empty() && looks_.top().first <= now) {
    const std::string worker_id = looks_.top().second;
    looks_.pop();
    const auto found = parked_.find(worker_id);
    if (found != parked_.end() && found->second.until <= now) Release(worker_id);
  }
}

void WorkerServiceImpl::Close() {
  is_closed_ = true;
  while (!parked_.empty()) Release(parked_.begin()->first);
}

}  // namespace espalier
