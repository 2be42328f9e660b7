// What a seed draws before its history begins: sizes, speeds, and which faults are there and how often. Every seed has
// another subset of the faults, so that each of them is also met without the noise of the others.
#pragma once

#include <cstdint>
#include <set>
#include <string>

#include "absl/time/time.h"

namespace espalier::simulation {

enum class Fault {
  kWorkerDeath,       // without notice; it may come back under a new id, or never
  kReportedDeath,     // the supervisor tells the coordinator
  kWorkerPause,       // SIGSTOP for up to three leases, then SIGCONT
  kWorkerDrain,       // SIGTERM
  kSlowWorker,        // ten times slower for a while
  kStuckWorker,       // heartbeats without an end, for a while
  kBlackHole,         // fails everything it gets
  kLiar,              // reports what cannot be true
  kThief,             // reports another worker's attempts
  kFleetLoss,         // half of the workers, or all
  kFlapping,          // one worker dies again and again
  kCoordinatorDeath,  // between any two steps, or in any write
  kCoordinatorPause,  // SIGSTOP, no standby
  kTakeOver,          // a second coordinator leads while the first is paused; the first wakes
  kLoss,              // of messages
  kDelay,             // minutes
  kDuplication,
  kPartition,        // both ways, of some workers
  kOneWayPartition,  // requests arrive, answers are lost, or the other way round
  kStoreFails,       // busy, or an error before the write
  kStoreLies,        // an error after the write went through
  kStoreSync,        // a failed sync: the process must end
  kArtifactLoss,
  kArtifactStoreFull,
  kClockJump,         // wall clock
  kClockRates,        // monotonic clocks between half and double
  kClientOperations,  // pause, resume, cancel, delete, with repeated calls
  kTaskFailures,      // workers fail tasks now and then
  kPoison,            // one candidate kills every worker that takes it
  kCount,
};
const char* Name(Fault fault);

struct Profile {
  uint64_t seed = 0;
  std::set<Fault> faults;
  absl::Duration fault_time;      // after that everything heals
  absl::Duration fault_interval;  // mean, between two faults
  bool is_regular = false;        // faults at exactly that interval
  absl::Duration lease;
  absl::Duration tick;
  absl::Duration task_time;  // mean
  absl::Duration delay;      // of messages, mean
  int num_workers = 0;
  int max_slots = 1;
  int num_jobs = 0;
  bool has_stream_of_jobs = false;  // for each one that ends a new one, until the faults end
  double loss = 0;                  // shares of all messages
  double duplication = 0;
  double late = 0;
  double death_in_write = 0;  // shares of all writes
  double store_fails = 0;
  double store_lies = 0;
  double task_fails = 0;

  bool Has(Fault fault) const { return faults.contains(fault); }
};

// num_workers 0: drawn, 1 to 6. A number leaves all else of the seed as it is.
Profile DrawProfile(uint64_t seed, int num_workers);
// A day of operation: a death a minute, of a worker or a coordinator, and jobs without end.
Profile DayProfile(uint64_t seed, absl::Duration length, int num_workers);
std::string Describe(const Profile& profile);

}  // namespace espalier::simulation
