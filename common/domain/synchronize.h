// What a worker and the coordinator tell each other at each Synchronize, as plain values; the rules are stated in
// proto/espalier/v1/worker_service.proto. Level-triggered: each message says how things are, not what changed.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/domain/lease_token.h"
#include "common/domain/task.h"
#include "common/domain/task_progress.h"

namespace espalier {

// Raised with every change that an older side would misread.
inline constexpr int kWorkerProtocolVersion = 1;

// What a worker is. Fixed while its process lives.
struct WorkerDescription {
  int protocol_version = kWorkerProtocolVersion;
  std::string host_name;
  DeviceKind device = DeviceKind::kCpu;
  std::string device_name;
  int64_t memory_bytes = 0;
  std::string numerics_class;
  int slots = 1;
  std::string software_version;
  bool operator==(const WorkerDescription&) const = default;
};

struct HeldLease {
  LeaseToken token;
  TaskProgress progress;
};

struct TaskFailure {
  absl::Status status;        // never OK; codes as Engine::Run explains them
  std::string lost_artifact;  // with kDataLoss: the artifact's digest
};
struct HandedBack {};

struct FinishedAttempt {
  LeaseToken token;
  std::variant<TaskOutcome, TaskFailure, HandedBack> result;
};

enum class Departure {
  kNone,
  kLeaves,  // drained; leases that it still has are handed back
  kDied,    // told by its supervisor, so that its leases end at once
};

struct SynchronizeRequest {
  std::string worker_id;  // a UUID made at the start of the process
  WorkerDescription description;
  std::vector<HeldLease> held;
  std::vector<FinishedAttempt> finished;  // without a verdict yet
  std::vector<RetainedState> states;
  bool draining = false;
  Departure departure = Departure::kNone;
  absl::Duration max_wait = absl::ZeroDuration();
};

struct LeaseGrant {
  LeaseToken token;
  Task task;
};

enum class Decision { kCommitted, kSuperseded, kNoted, kRejected };
const char* Name(Decision decision);  // "committed", "superseded", "noted", "rejected"

struct Verdict {
  LeaseToken token;
  Decision decision = Decision::kCommitted;
  std::string reason;
};

struct SynchronizeResponse {
  std::vector<LeaseGrant> grants;
  std::vector<LeaseToken> stop;
  std::vector<Verdict> verdicts;
  std::vector<StateKey> keep_states;
  absl::Duration lease_duration;  // counted from before the call was sent
  absl::Duration next_call;       // call again after this at the latest
  absl::Duration poll_time;       // calls are answered after this at the latest
  int64_t epoch = 0;
};

}  // namespace espalier
