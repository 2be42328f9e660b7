#include "tests/simulation/worker_process.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "tests/simulation/world.h"

namespace espalier::simulation {
namespace {

// As WorkerSession has them.
constexpr absl::Duration kAnswerTime = absl::Seconds(10);
constexpr absl::Duration kShortestCall = absl::Milliseconds(100);
constexpr absl::Duration kFarewell = absl::Seconds(5);

const BankReference* BankOf(const Task& task) {
  if (const auto* unit = std::get_if<AdditiveUnitTask>(&task.payload)) return &unit->bank;
  if (const auto* evaluate = std::get_if<EvaluateTask>(&task.payload)) return &evaluate->bank;
  if (const auto* finish = std::get_if<FinishTask>(&task.payload)) return &finish->bank;
  return nullptr;
}

}  // namespace

WorkerProcess::WorkerProcess(World& world, int host, std::string worker_id, WorkerDescription description)
    : world_(world),
      host_(host),
      worker_id_(std::move(worker_id)),
      description_(std::move(description)),
      state_(worker_id_, description_, world.context.random.Next()),
      slots_(static_cast<size_t>(description_.slots)) {
  Context& context = world_.context;
  clock_.began = context.loop.now();
  clock_.zero = absl::UnixEpoch() + context.Between(absl::Hours(1), absl::Hours(10000));
  if (context.profile.Has(Fault::kClockRates)) {
    clock_.rate = 0.5 + 1.5 * context.random.Unit();
    context.Happened(Fault::kClockRates);
  }
}

absl::Time WorkerProcess::Now() const { return clock_.Show(world_.context.loop.now()); }

void WorkerProcess::Start() {
  world_.context.Note("worker ", worker_id_, " begins on host ", host_, " with ", description_.slots, " slots");
  Poll();
}

void WorkerProcess::Kill(const std::string& why) {
  if (!is_alive()) return;
  world_.context.Note("worker ", worker_id_, " ends: ", why);
  MarkDead();
  GiveUpCall();
  world_.OnWorkerEnded(this);
}

void WorkerProcess::Drain(absl::Duration grace) {
  Do([this, grace] {
    world_.context.Note("worker ", worker_id_, " drains");
    drain_began_ = std::min(drain_began_, Now());
    state_.Drain(Now(), grace);
    Poll();
  });
}

void WorkerProcess::SchedulePoll(absl::Time local_at) {
  if (local_at == absl::InfiniteFuture()) return;
  const int64_t number = ++poll_number_;
  // Rounding between two clocks must not wake it before the time.
  world_.context.loop.At(clock_.Truth(std::max(local_at, Now())) + absl::Microseconds(10),
                         [self = shared_from_this(), number] {
                           self->Do([self, number] {
                             if (self->poll_number_ == number) self->Poll();
                           });
                         });
}

// WorkerSession::Run, one turn.
void WorkerProcess::Poll() {
  if (!is_alive()) return;
  if (world_.context.defect != Defect::kWorkerDoesNotFence) Apply(state_.Tick(Now()), nullptr);
  const bool gives_up_farewell =
      state_.is_draining() && failed_calls_ > 0 && state_.num_running() == 0 && Now() - drain_began_ > kFarewell;
  if (gives_up_farewell) return Kill("it has drained and reaches nobody");
  if (call_ != nullptr) return;
  if (Now() >= state_.next_call()) return Call();
  SchedulePoll(std::min(state_.next_call(), state_.next_tick()));
}

void WorkerProcess::Call() {
  for (size_t slot = 0; slot < slots_.size() && !is_stuck; ++slot) {
    const auto done = absl::ToInt64Milliseconds(Now() - slots_[slot].begun_at);
    if (slots_[slot].task.has_value()) state_.OnProgress(static_cast<int>(slot), {"work", done, 0, 0, 0});
  }
  SynchronizeRequest request = state_.NextRequest(states_);
  if (!stolen.empty()) world_.context.Happened(Fault::kThief);
  for (FinishedAttempt& attempt : std::exchange(stolen, {})) request.finished.push_back(std::move(attempt));
  const absl::Duration limit = std::clamp(state_.next_tick() - Now(), kShortestCall, request.max_wait + kAnswerTime);
  call_ = std::make_shared<SyncCall>();
  call_->host = host_;
  call_->request = std::move(request);
  call_->worker = weak_from_this();
  call_->sent_at = Now();
  const std::shared_ptr<SyncCall> call = call_;
  world_.SendToCoordinator(
      host_, [call](CoordinatorProcess& coordinator) { coordinator.OnCall(call); },
      [call] { Receive(call, absl::UnavailableError("connection refused")); });
  world_.context.loop.At(clock_.Truth(call->sent_at + limit), [self = shared_from_this(), call] {
    self->Do([raw = self.get(), call] {
      if (raw->call_ != call) return;
      raw->GiveUpCall();
      raw->call_ = call;
      raw->OnAnswer(call, absl::DeadlineExceededError("no answer in time"));
    });
  });
}

void WorkerProcess::GiveUpCall() {
  if (call_ == nullptr) return;
  const std::shared_ptr<SyncCall> call = std::exchange(call_, nullptr);
  world_.network.Send(host_, true, [call] {
    if (const auto coordinator = call->at.lock()) coordinator->OnGivenUp(call);
  });
}

void WorkerProcess::Receive(const std::shared_ptr<SyncCall>& call, const absl::StatusOr<SynchronizeResponse>& reply) {
  const std::shared_ptr<WorkerProcess> worker = call->worker.lock();
  if (worker != nullptr) worker->Do([raw = worker.get(), call, reply] { raw->OnAnswer(call, reply); });
}

void WorkerProcess::OnAnswer(const std::shared_ptr<SyncCall>& call, const absl::StatusOr<SynchronizeResponse>& reply) {
  if (call_ != call) return;  // it was given up
  call_ = nullptr;
  if (reply.ok()) {
    std::erase_if(states_, [&](const RetainedState& state) {
      return std::find(reply->keep_states.begin(), reply->keep_states.end(), state.key) == reply->keep_states.end();
    });
    failed_calls_ = 0;
    last_renewal_ = call->sent_at;
    Apply(state_.OnReply(call->sent_at, Now(), call->request, *reply), &*reply);
    if (call->request.departure == Departure::kLeaves) return Kill("it has drained");
    if (!is_alive()) return;
  } else {
    ++failed_calls_;
    state_.OnCallFailed(Now());
  }
  Poll();
}

void WorkerProcess::Apply(const SessionActions& actions, const SynchronizeResponse* reply) {
  for (const int slot : actions.cancel) Stop(slot);
  for (const SessionActions::Start& start : actions.start) {
    for (const LeaseGrant& grant : reply->grants) {
      if (grant.task.job_id == start.task.job_id && grant.task.task_id == start.task.task_id) {
        slots_[start.slot].token = grant.token;
      }
    }
    Begin(start.slot, start.task);
    if (!is_alive()) return;
  }
}

void WorkerProcess::Begin(int index, const Task& task) {
  Context& context = world_.context;
  Slot& slot = slots_[index];
  if (slot.task.has_value()) context.Violate("I14", worker_id_, " begins ", task.task_id, " in a slot that is taken");
  slot.task = task;
  slot.is_stopping = false;
  slot.begun_at = Now();
  const int run = ++slot.run;
  const absl::Duration time =
      is_black_hole ? absl::Seconds(1)
                    : (absl::Milliseconds(200) + context.Exponential(context.profile.task_time)) * slowness;
  if (context.has_faults && world_.ledger.IsPoison(task)) {
    context.loop.After(time / 2, [self = shared_from_this(), index, run] {
      self->Do([self, index, run] {
        if (self->slots_[index].run != run || !self->slots_[index].task.has_value()) return;
        self->world_.context.Happened(Fault::kPoison);
        self->Kill("of a poisonous candidate");
      });
    });
  }
  context.loop.After(
      time, [self = shared_from_this(), index, run] { self->Do([self, index, run] { self->Compute(index, run); }); });
}

// The engine sees the stop between two steps of its work.
void WorkerProcess::Stop(int index) {
  Slot& slot = slots_[index];
  if (!slot.task.has_value() || slot.is_stopping) return;
  slot.is_stopping = true;
  world_.context.loop.After(world_.context.Between(absl::ZeroDuration(), absl::Milliseconds(500)),
                            [self = shared_from_this(), index, run = slot.run] {
                              self->Do([self, index, run] { self->End(index, run, absl::CancelledError("stopped")); });
                            });
}

absl::StatusOr<TaskOutcome> WorkerProcess::Outcome(const Task& task) {
  Context& context = world_.context;
  if (is_black_hole) {
    context.Happened(Fault::kBlackHole);
    return absl::InternalError("this device fails everything");
  }
  if (context.Strikes(Fault::kTaskFailures, context.profile.task_fails)) return absl::InternalError("a sticky error of the device");
  if (const BankReference* bank = BankOf(task)) {
    for (const std::string& digest : bank->layer_digests) {
      if (!world_.artifacts.Has(digest)) return absl::DataLossError(absl::StrCat("artifact ", digest, " is gone"));
    }
  }
  const CatalogJob* catalog = world_.ledger.CatalogOf(task.job_id);
  TaskOutcome outcome = catalog->evaluator->Run(task);
  if (const auto* layer = std::get_if<BankLayerTask>(&task.payload)) {
    const auto digest = world_.artifacts.Put(absl::StrCat("layer ", layer->layer));
    if (!digest.ok()) return digest.status();
  }
  if (const auto* finish = std::get_if<FinishTask>(&task.payload)) {
    const auto digest = world_.artifacts.Put(finish->mask_digest);
    if (!digest.ok()) return digest.status();
  }
  if (const auto* evaluate = std::get_if<EvaluateTask>(&task.payload); evaluate && evaluate->retain) {
    states_.push_back({*evaluate->retain, 1000, StateLocation::kHost});
  }
  if (is_liar) {
    context.Happened(Fault::kLiar);
    auto* measurement = std::get_if<Measurement>(&outcome);
    if (measurement != nullptr && measurement->feasible) {
      measurement->fitness = std::numeric_limits<double>::quiet_NaN();
    } else if (measurement != nullptr) {
      outcome = BankLayerOutcome();
    } else {
      outcome = Measurement();
    }
  }
  return outcome;
}

void WorkerProcess::Compute(int index, int run) {
  Slot& slot = slots_[index];
  if (slot.run != run || !slot.task.has_value()) return;
  if (is_stuck && world_.context.has_faults) {
    world_.context.Happened(Fault::kStuckWorker);
    world_.context.loop.After(absl::Seconds(5), [self = shared_from_this(), index, run] {
      self->Do([self, index, run] { self->Compute(index, run); });
    });
    return;
  }
  CheckFence(index);
  End(index, run, Outcome(*slot.task));
}

// I14: a worker that cannot renew stops within the term by its own clock; it looked at its clock in time unless it
// stood still.
void WorkerProcess::CheckFence(int index) {
  // A lease that arrives late is begun and stopped at once.
  const absl::Duration silence = Now() - std::max(last_renewal_, slots_[index].begun_at);
  const absl::Duration lease = world_.context.profile.lease;
  const absl::Duration allowed = std::max(lease, 0.8 * lease + absl::Milliseconds(1500));  // the engine's last step
  if (silence > allowed && num_pauses() == 0) {  // one that stood still could not look at its clock
    world_.context.Violate("I14", worker_id_, " still computes after ", absl::FormatDuration(silence),
                           " without an answer, the lease is ", absl::FormatDuration(world_.context.profile.lease));
  }
}

void WorkerProcess::End(int index, int run, absl::StatusOr<TaskOutcome> outcome) {
  Slot& slot = slots_[index];
  if (slot.run != run || !slot.task.has_value()) return;
  if (outcome.ok()) {
    if (!is_liar) world_.ledger.OnComputed(worker_id_, *slot.task);
    computed_.push_back({slot.token, *outcome});
    if (computed_.size() > 8) computed_.erase(computed_.begin());
  }
  world_.context.Note("worker ", worker_id_, " ends ", slot.task->task_id, ": ",
                      outcome.ok() ? "done" : outcome.status().ToString());
  slot.task.reset();
  state_.OnFinished(Now(), index, std::move(outcome));
  // WorkerSession::Wake: the call under way ends, to send the news at once.
  if (call_ != nullptr) {
    GiveUpCall();
    state_.OnCallCancelled(Now());
  }
  Poll();
}

}  // namespace espalier::simulation
