#include "tests/simulation/coordinator_process.h"

#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "tests/simulation/world.h"

namespace espalier::simulation {
namespace {

constexpr absl::Duration kLongestBusyTime = absl::Milliseconds(600);
constexpr absl::Duration kStuckAfter = absl::Seconds(45);  // workers are stuck for up to two minutes

}  // namespace

CoordinatorProcess::CoordinatorProcess(World& world) : world_(world) {
  Context& context = world_.context;
  clock_.began = context.loop.now();
  // A steady clock's zero is the machine's start: another one after every restart on another machine.
  clock_.zero = absl::UnixEpoch() + context.Between(absl::Hours(1), absl::Hours(10000));
  if (context.profile.Has(Fault::kClockRates)) {
    clock_.rate = 0.5 + 1.5 * context.random.Unit();
    context.Happened(Fault::kClockRates);
  }
  busy_time_ = context.OneIn(2) ? absl::ZeroDuration() : context.Between(absl::ZeroDuration(), kLongestBusyTime);
}

CoordinatorProcess::~CoordinatorProcess() = default;

absl::Time CoordinatorProcess::LocalNow() const {
  if (world_.context.defect == Defect::kLeaseNeverExpires) return clock_.zero;
  return clock_.Show(world_.context.loop.now());
}

void CoordinatorProcess::Start() {
  Run([this] {
    store_ = std::make_unique<SimulatedStore>(world_.context, world_.medium, world_.ledger);
    outcomes_before_ = world_.ledger.num_outcomes();
    Coordinator::Parts parts;
    parts.observer = &counter_;
    parts.store = store_.get();
    parts.artifacts = &world_.artifacts;
    parts.programs = JobProgram::Create;
    parts.options.lease_duration = world_.context.profile.lease;
    parts.options.poll_time = absl::Seconds(30);
    parts.options.stuck_after = kStuckAfter;
    parts.options.collects_artifacts = true;
    auto opened = Coordinator::Open(std::move(parts), LocalNow());
    if (!opened.ok()) {
      Kill(absl::StrCat("it could not start: ", opened.status().ToString()));
      return;
    }
    core_ = *std::move(opened);
    core_->SetListener(this);
    const absl::Duration grace = 2 * world_.context.profile.lease;
    collector_ = std::make_unique<ArtifactCollector>(core_.get(), &world_.artifacts, "simulated",
                                                     CollectorOptions{.grace = grace, .stray_age = grace});
    world_.context.Note("coordinator of epoch ", store_->epoch(), " leads");
  });
  if (!is_alive()) return;
  world_.ledger.CheckMedium();
  ScheduleTick();
  ScheduleCollecting();
}

void CoordinatorProcess::Kill(const std::string& why) {
  if (!is_alive()) return;
  Context& context = world_.context;
  context.Note("coordinator of epoch ", store_ == nullptr ? 0 : store_->epoch(), " dies: ", why);
  MarkDead();
  for (auto& [worker_id, parked] : std::exchange(parked_, {})) {
    Answer(parked.call, absl::UnavailableError("the connection was cut"));
  }
  for (const std::shared_ptr<SyncCall>& call : std::exchange(pending_, {})) {
    Answer(call, absl::UnavailableError("the connection was cut"));
  }
  if (context.defect == Defect::kAcknowledgedEarly && world_.medium.synced.has_value()) {
    const int64_t epoch = world_.medium.content->epoch;
    *world_.medium.content = *world_.medium.synced;
    world_.medium.content->epoch = epoch;
  }
  world_.OnCoordinatorDied(this);
}

void CoordinatorProcess::Run(const std::function<void()>& action) {
  if (!is_alive()) return;
  ++depth_;
  try {
    action();
  } catch (const ProcessDied& died) {
    --depth_;
    core_ = nullptr;
    Kill(died.where);
    return;
  }
  --depth_;
  if (depth_ > 0 || !is_alive() || core_ == nullptr) return;
  if (const absl::Status fatal = core_->Fatal(); !fatal.ok()) Kill(fatal.ToString());
}

void CoordinatorProcess::ScheduleTick() {
  world_.context.loop.After(world_.context.profile.tick,
                            [self = shared_from_this()] { self->Do([self] { self->Tick(); }); });
}

// As collector_thread.h does, in a thread of its own, with strays going as early as it would let them: what a report that
// is long under way names may be gone, and what a job refers to never is.
void CoordinatorProcess::ScheduleCollecting() {
  world_.context.loop.After(world_.context.profile.lease / 2, [self = shared_from_this()] {
    self->Do([self] {
      self->Run([&] { self->Collect(); });
      if (self->is_alive()) self->ScheduleCollecting();
    });
  });
}

void CoordinatorProcess::Collect() {
  struct Hook {
    ~Hook() { artifacts.meanwhile = std::move(outer); }
    SimulatedArtifacts& artifacts;
    std::function<void()> outer;
  };
  const Hook hook{world_.artifacts, std::exchange(world_.artifacts.meanwhile, [this] { LetOthersAct(); })};
  store_->hides_events = world_.context.defect == Defect::kReferencesUnread;
  const absl::StatusOr<CollectorReport> report = collector_->Run(LocalNow());
  store_->hides_events = false;
  if (report.ok() && report->num_removed > 0) world_.context.Note("collected ", report->num_removed, " artifacts");
}

// Between any two steps of the collector's thread this process's other threads and all other processes go on, and this one
// may stand still, lose its lead, or die.
void CoordinatorProcess::LetOthersAct() {
  Context& context = world_.context;
  // One collector at a time: else each would wait for a later one, which stands still.
  if (world_.artifacts.is_interrupted || !context.OneIn(3)) return;
  world_.artifacts.is_interrupted = true;
  const int num_steps = static_cast<int>(context.random.Below(40));
  for (int i = 0; !context.violation.has_value() && is_alive() && (i < num_steps || is_paused()); ++i) {
    context.loop.Step(context.loop.now() + absl::Seconds(1));
  }
  world_.artifacts.is_interrupted = false;
  if (!is_alive()) throw ProcessDied{"it was collecting artifacts"};
}

void CoordinatorProcess::Tick() {
  const int64_t bad_writes = world_.medium.num_bad_writes;
  Run([this] {
    core_->Tick(LocalNow());
    std::vector<std::string> due;
    for (const auto& [worker_id, parked] : parked_) {
      if (parked.until <= LocalNow()) due.push_back(worker_id);
    }
    for (const std::string& worker_id : due) Release(worker_id);
  });
  if (!is_alive()) return;
  if (world_.IsLeader(this)) {
    const bool is_settled = world_.medium.num_bad_writes == bad_writes;
    world_.ledger.Check(*core_, LocalNow(), is_settled);
    const int64_t outcomes = world_.ledger.num_outcomes() - outcomes_before_;
    if (is_settled && outcomes != counter_.num_committed) {
      world_.context.Violate("I18", counter_.num_committed, " outcomes are counted, ", outcomes, " are stored");
    }
  }
  if (world_.context.defect == Defect::kArtifactCollected && world_.context.OneIn(20)) world_.artifacts.Collect();
  if (world_.context.defect == Defect::kAcknowledgedEarly && world_.context.OneIn(4)) {
    world_.medium.synced = *world_.medium.content;
  }
  ScheduleTick();
}

void CoordinatorProcess::OnClient(const std::function<void(Coordinator&, absl::Time)>& action) {
  Do([this, action] { Run([&] { action(*core_, LocalNow()); }); });
}

void CoordinatorProcess::OnCall(const std::shared_ptr<SyncCall>& call) {
  call->at = weak_from_this();
  Do([this, call] {
    pending_.push_back(call);
    if (pending_.size() > 1) return;
    world_.context.loop.After(busy_time_, [self = shared_from_this()] {
      self->Do([self] { self->Run([&] { self->HandlePending(); }); });
    });
  });
}

void CoordinatorProcess::HandlePending() {
  std::vector<std::shared_ptr<SyncCall>> calls;
  std::set<std::string> workers;
  for (const std::shared_ptr<SyncCall>& call : std::exchange(pending_, {})) {
    if (!workers.insert(call->request.worker_id).second) {  // a newer call of a worker: the next time
      Handle(std::exchange(calls, {}));
      workers = {call->request.worker_id};
    }
    calls.push_back(call);
  }
  Handle(calls);
}

void CoordinatorProcess::OnGivenUp(const std::shared_ptr<SyncCall>& call) {
  Do([this, call] {
    call->is_given_up = true;
    const auto found = parked_.find(call->request.worker_id);
    if (found == parked_.end() || found->second.call != call) return;
    parked_.erase(found);
    Run([&] { core_->StopWaiting(LocalNow(), call->request.worker_id); });
  });
}

// What a careless service would make of a late report: it belongs to the task that its worker holds now.
SynchronizeRequest CoordinatorProcess::Received(const SynchronizeRequest& request) {
  SynchronizeRequest received = request;
  if (world_.context.defect != Defect::kResultOfAnotherTask) return received;
  for (const AttemptRecord& attempt : world_.medium.content->attempts) {
    if (attempt.worker_id != request.worker_id || attempt.end != AttemptEnd::kOpen) continue;
    for (FinishedAttempt& finished : received.finished) {
      for (const AttemptRecord& reported : world_.medium.content->attempts) {
        if (reported.token == finished.token && reported.end == AttemptEnd::kExpired) finished.token = attempt.token;
      }
    }
  }
  return received;
}

void CoordinatorProcess::Handle(const std::vector<std::shared_ptr<SyncCall>>& calls) {
  std::vector<std::shared_ptr<SyncCall>> open;
  std::vector<SynchronizeRequest> received;
  for (const std::shared_ptr<SyncCall>& call : calls) {
    if (call->is_given_up) continue;
    if (const auto older = parked_.find(call->request.worker_id); older != parked_.end()) {
      const std::shared_ptr<SyncCall> superseded = older->second.call;
      parked_.erase(older);
      if (superseded != call) Answer(superseded, absl::AbortedError("a newer call of this worker has arrived"));
    }
    open.push_back(call);
    received.push_back(Received(call->request));
  }
  std::vector<const SynchronizeRequest*> requests;
  for (const SynchronizeRequest& request : received) requests.push_back(&request);
  auto answers = core_->SynchronizeAll(LocalNow(), requests);
  for (size_t i = 0; i < open.size(); ++i) Conclude(open[i], std::move(answers[i]));
}

void CoordinatorProcess::Conclude(const std::shared_ptr<SyncCall>& call, absl::StatusOr<Coordinator::SyncAnswer> answer) {
  const std::string& worker_id = call->request.worker_id;
  if (!answer.ok()) return Answer(call, answer.status());
  if (answer->wait.has_value()) {
    world_.ledger.OnWait(*answer->wait, world_.context.profile.lease);
    parked_[worker_id] = {call, LocalNow() + *answer->wait};
    return;
  }
  if (world_.context.defect == Defect::kAcknowledgedUnstored) {
    for (const FinishedAttempt& finished : call->request.finished) {
      bool has_verdict = false;
      for (const Verdict& verdict : answer->response.verdicts) has_verdict |= verdict.token == finished.token;
      if (!has_verdict) answer->response.verdicts.push_back({finished.token, Decision::kCommitted, ""});
    }
  }
  Answer(call, std::move(answer->response));
}

void CoordinatorProcess::Release(const std::string& worker_id) {
  const auto found = parked_.find(worker_id);
  if (found == parked_.end()) return;
  const std::shared_ptr<SyncCall> call = found->second.call;
  parked_.erase(found);
  Answer(call, core_->Collect(LocalNow(), worker_id));
}

void CoordinatorProcess::OnWorkersReady(const std::vector<std::string>& worker_ids) {
  for (const std::string& worker_id : worker_ids) Release(worker_id);
}

void CoordinatorProcess::Answer(const std::shared_ptr<SyncCall>& call, absl::StatusOr<SynchronizeResponse> response) {
  if (response.ok()) {
    world_.ledger.OnAnswer(call->request.worker_id, call->request.description, *response, world_.IsLeader(this));
    std::string said = absl::StrCat("answer ", call->request.worker_id, ":");
    for (const Verdict& verdict : response->verdicts) {
      absl::StrAppend(&said, " ", Name(verdict.decision), " ", verdict.token.task_id, "#", verdict.token.attempt);
      if (!verdict.reason.empty()) absl::StrAppend(&said, " (", verdict.reason, ")");
    }
    absl::StrAppend(&said, " +", response->grants.size(), " -", response->stop.size());
    world_.context.Note(said);
  }
  world_.network.Send(call->host, false,
                      [call, response = std::move(response)] { WorkerProcess::Receive(call, response); });
}

}  // namespace espalier::simulation
