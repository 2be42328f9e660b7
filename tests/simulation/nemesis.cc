// Who strikes, and how.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "tests/simulation/world.h"

namespace espalier::simulation {

void World::ScheduleNemesis() {
  const Profile& profile = context.profile;
  const absl::Duration pause =
      profile.is_regular ? profile.fault_interval : context.Exponential(profile.fault_interval);
  context.loop.After(pause, [this] {
    if (!context.has_faults) return;
    const std::vector<Fault> faults(context.profile.faults.begin(), context.profile.faults.end());
    if (!faults.empty()) Strike(faults[context.random.Below(faults.size())]);
    ScheduleNemesis();
  });
}

std::shared_ptr<WorkerProcess> World::AnyWorker() {
  std::vector<std::shared_ptr<WorkerProcess>> running;
  for (const auto& worker : workers_) {
    if (worker != nullptr && worker->is_running()) running.push_back(worker);
  }
  return running.empty() ? nullptr : running[context.random.Below(running.size())];
}

void World::PauseFor(std::shared_ptr<Process> process, absl::Duration length) {
  process->Pause();
  context.loop.After(length, [process = std::move(process)] {
    if (process->is_paused()) process->Continue();
  });
}

void World::Strike(Fault fault) {
  context.Note("nemesis: ", Name(fault));
  switch (fault) {
    case Fault::kCoordinatorDeath:
    case Fault::kCoordinatorPause:
    case Fault::kTakeOver:
    case Fault::kStoreSync: return StrikeCoordinator(fault);
    case Fault::kPartition:
    case Fault::kOneWayPartition: return StrikeNetwork(fault);
    case Fault::kArtifactLoss: context.Note("lost: ", artifacts.Lose()); return;
    case Fault::kArtifactStoreFull:
      artifacts.is_full = true;
      context.loop.After(context.Between(absl::Seconds(1), absl::Seconds(60)), [this] { artifacts.is_full = false; });
      return;
    default: return StrikeFleet(fault);
  }
}

void World::StrikeCoordinator(Fault fault) {
  CoordinatorProcess* target = leader();
  if (target == nullptr || !target->is_running()) return;
  const absl::Duration lease = context.profile.lease;
  if (fault == Fault::kStoreSync && target->store() == nullptr) return;
  if (fault != Fault::kTakeOver) context.Happened(fault);
  if (fault == Fault::kCoordinatorDeath) return target->Kill("SIGKILL");
  if (fault == Fault::kStoreSync) return target->store()->Break();
  PauseFor(target->shared_from_this(), context.Between(absl::Seconds(1), 3 * lease));
  if (fault != Fault::kTakeOver) return;
  context.loop.After(context.Between(absl::ZeroDuration(), lease), [this] {
    context.Happened(Fault::kTakeOver);
    StartCoordinator();
  });
}

void World::StrikeNetwork(Fault fault) {
  const absl::Duration longest = 3 * context.profile.lease;
  const auto cut = [&](int host) {
    const absl::Duration length = context.Between(absl::Seconds(1), longest);
    context.Happened(fault);
    const bool is_whole = fault == Fault::kPartition;
    const bool is_to = context.OneIn(2);
    if (is_whole || is_to) network.Cut(host, true, length);
    if (is_whole || !is_to) network.Cut(host, false, length);
  };
  // Each link for another time, so that they heal one after the other.
  for (int host = kClientHost; host < context.profile.num_workers; ++host) {
    if (context.OneIn(2)) cut(host);
  }
}

void World::StrikeFleet(Fault fault) {
  const absl::Duration lease = context.profile.lease;
  if (fault == Fault::kFleetLoss) {
    const bool is_all = context.OneIn(3);
    const auto workers = workers_;
    for (const auto& worker : workers) {
      if (worker == nullptr || !worker->is_running() || !(is_all || context.OneIn(2))) continue;
      context.Happened(fault);
      worker->Kill("the fleet is lost");
    }
    return;
  }
  const std::shared_ptr<WorkerProcess> worker = AnyWorker();
  if (worker == nullptr) return;
  const auto back = [&](const std::function<void(WorkerProcess&)>& action) {
    context.loop.After(context.Between(absl::Seconds(5), absl::Seconds(120)), [worker, action] { action(*worker); });
  };
  switch (fault) {
    case Fault::kWorkerDeath:
    case Fault::kReportedDeath: context.Happened(Fault::kWorkerDeath); return worker->Kill("SIGKILL");
    case Fault::kWorkerPause: context.Happened(fault); return PauseFor(worker, context.Between(absl::Seconds(1), 3 * lease));
    case Fault::kWorkerDrain: context.Happened(fault); return worker->Drain(context.Between(absl::ZeroDuration(), absl::Seconds(40)));
    case Fault::kSlowWorker:
      context.Happened(fault);
      worker->slowness = 10;
      return back([](WorkerProcess& slow) { slow.slowness = 1; });
    case Fault::kStuckWorker:
      worker->is_stuck = true;
      return back([](WorkerProcess& stuck) { stuck.is_stuck = false; });
    case Fault::kBlackHole:
      worker->is_black_hole = true;
      return back([](WorkerProcess& hole) { hole.is_black_hole = false; });
    case Fault::kLiar: worker->is_liar = true; return back([](WorkerProcess& liar) { liar.is_liar = false; });
    case Fault::kFlapping:
      for (int i = 0; i < 5; ++i) {
        context.loop.After(context.Between(absl::ZeroDuration(), absl::Seconds(60)), [this, host = worker->host()] {
          if (!context.has_faults || !workers_[host]->is_running()) return;
          context.Happened(Fault::kFlapping);
          workers_[host]->Kill("it flaps");
        });
      }
      return;
    case Fault::kThief: {
      const std::shared_ptr<WorkerProcess> victim = AnyWorker();
      if (victim == worker) return;
      worker->stolen = victim->computed();
      for (const FinishedAttempt& attempt : worker->stolen) ledger.OnForged(worker->id(), attempt.token);
      return;
    }
    default: return;  // those that are drawn at every message, write or task, and count there
  }
}

}  // namespace espalier::simulation
