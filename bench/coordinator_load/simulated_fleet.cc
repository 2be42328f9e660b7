#include "bench/coordinator_load/simulated_fleet.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/wire/synchronize_conversion.h"

namespace espalier::load {
namespace {

constexpr uint64_t kSeed = 1;
constexpr int64_t kFirstBackOff = 100'000'000;  // ns
constexpr int64_t kLongestBackOff = 5'000'000'000;
constexpr absl::Duration kAnswerTime = absl::Seconds(10);  // of the client's deadline beyond the wait

int64_t Now() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace

SimulatedFleet::SimulatedFleet(const FleetOptions& options, JobInputs inputs)
    : options_(options), evaluator_(std::move(inputs), {}) {
  description_.host_name = "simulated";
  description_.device_name = "none";
  description_.numerics_class = "simulated";
  for (int i = 0; i < options.num_channels; ++i) {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);  // a connection for each channel
    arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
    arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 5000);
    arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 2000);
    stubs_.push_back(v1::WorkerService::NewStub(
        grpc::CreateCustomChannel(options.address, grpc::InsecureChannelCredentials(), arguments)));
  }
  workers_.resize(options.num_workers);
  for (int i = 0; i < options.num_workers; ++i) workers_[i].id = absl::StrCat("simulated-", i);
}

SimulatedFleet::~SimulatedFleet() {
  for (Worker& worker : workers_) {
    if (worker.call != nullptr) worker.call->context.TryCancel();
  }
  void* tag = nullptr;
  bool ok = false;
  while (num_calls_ > 0 && queue_.Next(&tag, &ok)) {
    delete static_cast<Call*>(tag);
    --num_calls_;
  }
  queue_.Shutdown();
  while (queue_.Next(&tag, &ok)) {
  }
}

void SimulatedFleet::Reset() {
  counts_ = {};
  num_answered_workers_ = 0;
  for (Worker& worker : workers_) worker.is_answered = false;
}

int SimulatedFleet::num_busy() const {
  return static_cast<int>(
      std::count_if(workers_.begin(), workers_.end(), [](const Worker& worker) { return !worker.held.empty(); }));
}

int SimulatedFleet::num_held() const {
  int count = 0;
  for (const Worker& worker : workers_) count += static_cast<int>(worker.held.size());
  return count;
}

void SimulatedFleet::Start(absl::Duration ramp) {
  const int64_t begin = Now();
  for (size_t i = 0; i < workers_.size(); ++i) {
    CallAt(static_cast<int>(i), begin + absl::ToInt64Nanoseconds(ramp) * static_cast<int64_t>(i) /
                                            static_cast<int64_t>(workers_.size()));
  }
}

void SimulatedFleet::CallAt(int index, int64_t at_ns) {
  workers_[index].next_call = at_ns;
  due_.push({at_ns, index, {}});
}

void SimulatedFleet::RunFor(absl::Duration duration) {
  const absl::Time until = absl::Now() + duration;
  while (absl::Now() < until) RunOnce(until);
}

bool SimulatedFleet::RunOnce(absl::Time until) {
  // Not everything that is due at once, so that answers are taken in (and their time is told) in between.
  for (int i = 0; i < 8 && !due_.empty() && due_.top().at_ns <= Now(); ++i) {
    const Due due = due_.top();
    due_.pop();
    Act(due);
  }
  const int64_t wait_ns = due_.empty() ? 50'000'000 : std::clamp<int64_t>(due_.top().at_ns - Now(), 0, 50'000'000);
  const auto limit = std::min(std::chrono::system_clock::now() + std::chrono::nanoseconds(wait_ns),
                              std::chrono::time_point_cast<std::chrono::nanoseconds>(absl::ToChronoTime(until)));
  void* tag = nullptr;
  bool ok = false;
  auto deadline = limit;
  for (int i = 0; i < 64 && queue_.AsyncNext(&tag, &ok, deadline) == grpc::CompletionQueue::GOT_EVENT; ++i) {
    EndCall(static_cast<Call*>(tag));
    deadline = std::chrono::system_clock::now();
  }
  return num_calls_ > 0 || !due_.empty();
}

void SimulatedFleet::Act(const Due& due) {
  Worker& worker = workers_[due.worker];
  if (!due.task.task_id.empty()) {
    Finish(worker, due.task);
    // While a call is under way (a heartbeat, which does not wait) the news follow right after it.
    if (worker.has_unsent_news && worker.call == nullptr) StartCall(due.worker);
    return;
  }
  if (worker.call == nullptr && worker.next_call == due.at_ns) StartCall(due.worker);
}

void SimulatedFleet::Finish(Worker& worker, const LeaseToken& token) {
  const auto held = std::find_if(worker.held.begin(), worker.held.end(),
                                 [&](const LeaseGrant& grant) { return grant.token == token; });
  if (held == worker.held.end()) return;
  worker.finished.push_back({token, evaluator_.Run(held->task)});
  worker.held.erase(held);
  worker.has_unsent_news = true;
}

void SimulatedFleet::StartCall(int index) {
  Worker& worker = workers_[index];
  SynchronizeRequest request;
  request.worker_id = worker.id;
  request.description = description_;
  for (const LeaseGrant& grant : worker.held) request.held.push_back({grant.token, {}});
  request.finished = worker.finished;
  const bool may_wait = worker.held.empty() && worker.finished.empty() && worker.is_connected;
  request.max_wait = may_wait ? poll_time_ : absl::ZeroDuration();
  auto call = std::make_unique<Call>();
  call->worker = index;
  call->may_wait = may_wait;
  call->context.set_deadline(std::chrono::system_clock::now() +
                             absl::ToChronoMilliseconds(request.max_wait + kAnswerTime));
  call->context.AddMetadata("authorization", "Bearer " + options_.token);
  const v1::SynchronizeRequest proto = wire::ToProto(request);
  v1::WorkerService::Stub& stub = *stubs_[static_cast<size_t>(index) % stubs_.size()];
  call->begin_ns = Now();
  call->reader = stub.AsyncSynchronize(&call->context, proto, &queue_);
  call->reader->Finish(&call->response, &call->status, call.get());
  worker.call = call.release();
  worker.has_unsent_news = false;
  ++num_calls_;
}

void SimulatedFleet::EndCall(Call* ended) {
  const std::unique_ptr<Call> call(ended);
  --num_calls_;
  Worker& worker = workers_[call->worker];
  worker.call = nullptr;
  const int64_t now = Now();
  const auto response =
      call->status.ok() ? wire::FromProto(call->response)
                        : absl::StatusOr<SynchronizeResponse>(absl::UnavailableError(call->status.error_message()));
  worker.is_connected = response.ok();
  if (!response.ok()) {
    ++counts_.failed_calls;
    // As a worker does (SessionState::OnCallFailed): not at once, and not all at the same time.
    const int64_t longest = std::min(kLongestBackOff, kFirstBackOff << std::min(worker.failures_in_a_row++, 10));
    const double share = 0.5 + 0.5 * KeyedRandom(kSeed, "retry", {++num_draws_}).Unit();
    CallAt(call->worker, now + static_cast<int64_t>(share * static_cast<double>(longest)));
    return;
  }
  worker.failures_in_a_row = 0;
  (call->may_wait ? counts_.parked : counts_.answered).push_back(static_cast<float>(now - call->begin_ns) * 1e-9F);
  if (!std::exchange(worker.is_answered, true)) ++num_answered_workers_;
  TakeIn(call->worker, *response);
}

void SimulatedFleet::TakeIn(int index, const SynchronizeResponse& response) {
  Worker& worker = workers_[index];
  const int64_t now = Now();
  poll_time_ = response.poll_time;
  for (const Verdict& verdict : response.verdicts) {
    std::erase_if(worker.finished, [&](const FinishedAttempt& done) { return done.token == verdict.token; });
    ++(verdict.decision == Decision::kCommitted ? counts_.committed : counts_.other_verdicts);
  }
  for (const LeaseToken& token : response.stop) {
    counts_.stopped += static_cast<int64_t>(
        std::erase_if(worker.held, [&](const LeaseGrant& grant) { return grant.token == token; }));
  }
  for (const LeaseGrant& grant : response.grants) {
    ++counts_.granted;
    worker.held.push_back(grant);
    const double share = 0.5 + KeyedRandom(kSeed, "task", {++num_draws_}).Unit();
    due_.push({now + static_cast<int64_t>(share * options_.task_seconds * 1e9), index, grant.token});
  }
  CallAt(index, now + (worker.has_unsent_news ? 0 : absl::ToInt64Nanoseconds(response.next_call)));
}

}  // namespace espalier::load
