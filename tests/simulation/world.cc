#include "tests/simulation/world.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace espalier::simulation {
namespace {

// Jobs take some minutes of virtual time; nothing may take this long once the faults are over.
constexpr absl::Duration kLivenessBound = absl::Hours(3);

}  // namespace

World::World(Profile profile, Defect defect, bool prints)
    : context(std::move(profile), defect, prints),
      artifacts(context),
      ledger(context, medium, artifacts),
      network(context),
      client_(*this) {
  has_classes_ = context.OneIn(4);
  artifacts.on_collected = [this](const std::string& digest) { ledger.OnCollected(digest); };
}

World::~World() = default;

void World::StartCoordinator() {
  // Those that are dead and have nothing on the stack go.
  std::erase_if(coordinators_, [](const auto& process) { return !process->is_alive() && !process->is_busy(); });
  const auto process = std::make_shared<CoordinatorProcess>(*this);
  coordinators_.push_back(process);
  process->Start();
}

void World::OnCoordinatorDied(CoordinatorProcess* process) {
  if (leader() != process) return;
  const absl::Duration pause = context.Between(absl::Milliseconds(100), absl::Seconds(context.OneIn(5) ? 90 : 5));
  context.loop.After(pause, [this] {
    if (!leader()->is_alive()) StartCoordinator();
  });
}

void World::SwallowNextUpdate() {
  if (leader()->store() != nullptr) leader()->store()->swallows_next_update = true;
}

void World::StartWorker(int host) {
  if (workers_[host] != nullptr && workers_[host]->is_alive()) return;
  WorkerDescription description;
  description.host_name = absl::StrCat("host-", host);
  description.device_name = "a formula";
  description.numerics_class = has_classes_ && host % 3 == 2 ? "cpu/b" : "cpu/a";
  description.slots = 1 + host % context.profile.max_slots;
  workers_[host] = std::make_shared<WorkerProcess>(*this, host, absl::StrCat("w", ++num_workers_started_), description);
  workers_[host]->Start();
}

void World::OnWorkerEnded(WorkerProcess* worker) {
  const int host = worker->host();
  const bool is_reported = context.profile.Has(Fault::kReportedDeath) && context.OneIn(2);
  if (is_reported) {
    context.Happened(Fault::kReportedDeath);
    SynchronizeRequest death;
    death.worker_id = worker->id();
    death.departure = Departure::kDied;
    SendToCoordinator(
        host,
        [death](CoordinatorProcess& coordinator) {
          coordinator.OnClient([death](Coordinator& core, absl::Time now) { (void)core.Synchronize(now, death); });
        },
        nullptr);
  }
  // A new process on the same host, with another id; or none before everything heals.
  const bool comes_back = !context.has_faults || !context.OneIn(6) || context.profile.is_regular;
  if (!comes_back) return;
  const absl::Duration pause = context.Between(absl::Milliseconds(500), absl::Seconds(40));
  context.loop.After(pause, [this, host] { StartWorker(host); });
}

void World::SendToCoordinator(int host, std::function<void(CoordinatorProcess&)> action,
                              std::function<void()> refused) {
  network.Send(host, true, [this, host, action = std::move(action), refused = std::move(refused)] {
    CoordinatorProcess* target = leader();
    // A connection to a former leader may still be open.
    for (const auto& older : coordinators_) {
      if (older->is_alive() && older.get() != target && context.OneIn(4)) target = older.get();
    }
    if (target != nullptr && target->is_alive()) {
      action(*target);
    } else if (refused) {
      network.Send(host, false, refused);
    }
  });
}

void World::Heal() {
  context.Note("everything heals");
  context.has_faults = false;
  artifacts.is_full = false;
  const auto coordinators = coordinators_;
  for (const auto& process : coordinators) {
    if (process->is_paused()) process->Continue();
  }
  const auto workers = workers_;
  for (const auto& worker : workers) {
    if (worker == nullptr) continue;
    worker->slowness = 1;
    worker->is_stuck = worker->is_black_hole = worker->is_liar = false;
    if (worker->is_paused()) worker->Continue();
  }
  for (int host = 0; host < context.profile.num_workers; ++host) StartWorker(host);
}

bool World::IsQuiet() const { return context.violation.has_value() || (client_.is_done() && ledger.AllJobsFinal()); }

void World::RunUntilQuiet(absl::Time limit) {
  while (!IsQuiet() && context.loop.Step(limit)) {
  }
}

Outcome World::Run() {
  workers_.resize(static_cast<size_t>(context.profile.num_workers));
  StartCoordinator();
  for (int host = 0; host < context.profile.num_workers; ++host) {
    context.loop.After(context.Between(absl::ZeroDuration(), absl::Seconds(30)), [this, host] { StartWorker(host); });
  }
  client_.Start();
  ScheduleNemesis();
  RunUntilQuiet(context.loop.now() + context.profile.fault_time);
  if (!context.violation.has_value()) {
    Heal();
    const absl::Time healed = context.loop.now();
    RunUntilQuiet(healed + kLivenessBound);
    // What is under way comes to rest: late calls, expiring leases, a restart.
    const absl::Time rest = context.loop.now() + 3 * context.profile.lease + absl::Minutes(2);
    while (!context.violation.has_value() && context.loop.Step(rest)) {
    }
    if (!context.violation.has_value()) ledger.CheckEnd(*leader()->core(), leader()->LocalNow());
  }
  outcome_.violation = context.violation;
  outcome_.history_hash = context.history.hash();
  outcome_.num_steps = context.loop.num_steps();
  outcome_.num_commits = ledger.num_commits();
  outcome_.num_attempts = ledger.num_attempts();
  outcome_.num_expired = ledger.num_expired();
  outcome_.num_stuck = ledger.num_stuck();
  outcome_.num_class_changes = ledger.num_class_changes();
  outcome_.num_collected = ledger.num_collected();
  outcome_.num_epochs = ledger.max_epoch();
  outcome_.num_jobs = client_.num_submitted();
  outcome_.num_results = ledger.num_results();
  outcome_.num_workers = num_workers_started_;
  outcome_.faults = context.happened;
  outcome_.virtual_time = context.loop.now() - absl::UnixEpoch();
  return outcome_;
}

Outcome Simulate(const Profile& profile, Defect defect, bool prints) { return World(profile, defect, prints).Run(); }

}  // namespace espalier::simulation
