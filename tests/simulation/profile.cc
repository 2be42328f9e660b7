#include "tests/simulation/profile.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/base/random.h"

namespace espalier::simulation {

const char* Name(Fault fault) {
  static constexpr const char* kNames[] = {"worker-death",
                                           "reported-death",
                                           "worker-pause",
                                           "worker-drain",
                                           "slow-worker",
                                           "stuck-worker",
                                           "black-hole",
                                           "liar",
                                           "thief",
                                           "fleet-loss",
                                           "flapping",
                                           "coordinator-death",
                                           "coordinator-pause",
                                           "take-over",
                                           "loss",
                                           "delay",
                                           "duplication",
                                           "partition",
                                           "one-way-partition",
                                           "store-fails",
                                           "store-lies",
                                           "store-sync",
                                           "artifact-loss",
                                           "artifact-store-full",
                                           "clock-jump",
                                           "clock-rates",
                                           "client-operations",
                                           "task-failures",
                                           "poison"};
  static_assert(std::size(kNames) == static_cast<size_t>(Fault::kCount));
  return kNames[static_cast<int>(fault)];
}

Profile DrawProfile(uint64_t seed, int num_workers) {
  KeyedRandom random(seed, "simulation profile", {});
  const auto between = [&](double low, double high) { return low + (high - low) * random.Unit(); };
  Profile profile;
  profile.seed = seed;
  // Few, some, or most of the faults.
  const double share = std::vector<double>{0.12, 0.3, 0.6, 0.9}[random.Below(4)];
  for (int i = 0; i < static_cast<int>(Fault::kCount); ++i) {
    if (random.Unit() < share) profile.faults.insert(static_cast<Fault>(i));
  }
  profile.fault_time = absl::Seconds(between(60, 600));
  profile.fault_interval = absl::Seconds(between(2, 40));
  profile.lease = absl::Seconds(std::vector<int>{3, 5, 10, 20, 60}[random.Below(5)]);
  profile.tick = absl::Milliseconds(static_cast<int64_t>(between(200, 1000)));
  profile.task_time = absl::Seconds(between(1, 12));
  profile.delay = absl::Milliseconds(static_cast<int64_t>(between(1, 60)));
  profile.num_workers = num_workers > 0 ? num_workers : 1 + static_cast<int>(random.Below(6));
  profile.max_slots = 1 + static_cast<int>(random.Below(3));
  profile.num_jobs = 1 + static_cast<int>(random.Below(3));
  const double intensity = between(0.2, 1);
  if (profile.Has(Fault::kLoss)) profile.loss = 0.15 * intensity;
  if (profile.Has(Fault::kDuplication)) profile.duplication = 0.2 * intensity;
  if (profile.Has(Fault::kDelay)) profile.late = 0.1 * intensity;
  if (profile.Has(Fault::kCoordinatorDeath)) profile.death_in_write = 0.01 * intensity;
  if (profile.Has(Fault::kStoreFails)) profile.store_fails = 0.15 * intensity;
  if (profile.Has(Fault::kStoreLies)) profile.store_lies = 0.15 * intensity;
  if (profile.Has(Fault::kTaskFailures)) profile.task_fails = 0.1 * intensity;
  return profile;
}

Profile DayProfile(uint64_t seed, absl::Duration length, int num_workers) {
  Profile profile;
  profile.seed = seed;
  profile.faults = {Fault::kWorkerDeath, Fault::kCoordinatorDeath};
  profile.fault_time = length;
  profile.fault_interval = absl::Minutes(1);
  profile.is_regular = true;
  profile.lease = absl::Seconds(60);
  profile.tick = absl::Seconds(1);
  profile.task_time = absl::Seconds(45);
  profile.delay = absl::Milliseconds(20);
  profile.num_workers = num_workers > 0 ? num_workers : 8;
  profile.max_slots = 1;
  profile.num_jobs = 3;
  profile.has_stream_of_jobs = true;
  return profile;
}

std::string Describe(const Profile& profile) {
  std::string text =
      absl::StrCat(profile.num_workers, " workers, ", profile.num_jobs, " jobs, lease ",
                   absl::FormatDuration(profile.lease), ", faults for ", absl::FormatDuration(profile.fault_time),
                   ", one in ", absl::FormatDuration(profile.fault_interval), ":");
  for (const Fault fault : profile.faults) absl::StrAppend(&text, " ", Name(fault));
  return text;
}

}  // namespace espalier::simulation
