// What the coordinator must not forget: jobs, attempts, committed events in their order, and the manifest of level banks.
// tests/contract holds every implementation to this contract.
//
// Decisions. A write that returned OK is durable. Every write is one transaction that first checks that this store's
// epoch is still the newest (kAborted when it is not: another coordinator has taken over, and this one must stop).
// Payloads are opaque bytes (common/wire/record.h). Confined to the coordinator's lock.
#pragma once

#include <cstdint>
#include <memory>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/domain/job.h"
#include "common/domain/lease_token.h"

namespace espalier {

struct JobRecord {
  std::string job_id;
  std::string request_id;  // empty: none
  std::string submitted;   // the specification as sent; equal bytes mean the same request
  std::string spec;        // resolved
  std::string inputs;
  absl::Time create_time;
  JobState state = JobState::kQueued;
  std::string failure;
  double elapsed_seconds = 0;  // running time over all coordinators' lives
  std::string numerics_class;  // empty before the first lease
  std::string result_artifact;
  bool operator==(const JobRecord&) const = default;
};

enum class AttemptEnd {
  kOpen,
  kCommitted,
  kFailed,      // the worker said why
  kExpired,     // the worker fell silent or died
  kHandedBack,  // drained, paused, or the task was wanted no longer
};
const char* Name(AttemptEnd end);  // "open", ...

struct AttemptRecord {
  LeaseToken token;
  std::string worker_id;
  std::string input_digest;
  AttemptEnd end = AttemptEnd::kOpen;
  std::string reason;
  bool operator==(const AttemptRecord&) const = default;
};

enum class EventKind {
  kOutcome,       // payload: the outcome
  kTaskFailed,    // given up; reason
  kWallTimeStop,  // the search's time is up
  kArtifactLost,  // artifact
};

// What a job's program has been told, in order: replaying it gives the same search.
struct EventRecord {
  int64_t sequence = 0;  // rises over all jobs; set by the store
  std::string job_id;
  EventKind kind = EventKind::kOutcome;
  std::string task_id;       // kOutcome, kTaskFailed
  int attempt = 0;           // kOutcome; 0: taken over from another job's bank
  std::string input_digest;  // kOutcome
  std::string payload;
  std::string reason;
  std::string artifact;  // kArtifactLost: digest
  double elapsed_seconds = 0;  // of the job, when this was committed
  bool operator==(const EventRecord&) const = default;
};

// A layer of a level bank that any job with the same key may use.
struct BankLayerRecord {
  std::string key;
  int layer = 0;
  int revision = 1;
  std::string artifact;  // digest
  std::string outcome;
  bool operator==(const BankLayerRecord&) const = default;
};

// An event, and the layer of a bank that comes with it.
struct EventCommit {
  EventRecord event;
  std::optional<BankLayerRecord> bank;
};

// Fields that are set are written.
struct JobUpdate {
  std::optional<JobState> state;
  std::optional<std::string> failure;
  std::optional<double> elapsed_seconds;
  std::optional<std::string> numerics_class;
  std::optional<std::string> result_artifact;
};

class JobStore {
 public:
  virtual ~JobStore() = default;

  // Rises with every start of a coordinator on this store; at least 1.
  virtual int64_t epoch() const = 0;
  // Which content this is, for all its coordinators and copies; made when it is first asked for. Letters, digits, '-'.
  virtual absl::StatusOr<std::string> Identity() = 0;

  // kAlreadyExists when the job id or the request id is taken.
  virtual absl::Status InsertJob(const JobRecord& job) = 0;
  // kNotFound when there is none.
  virtual absl::Status UpdateJob(const std::string& job_id, const JobUpdate& update) = 0;
  // The job with its attempts and events; OK when there is none. The bank manifest stays, and that its request was used.
  virtual absl::Status DeleteJob(const std::string& job_id) = 0;
  // Job ids by the request ids of jobs that were deleted: a late copy of such a request must not make the job again.
  virtual absl::StatusOr<std::map<std::string, std::string>> LoadDeletedRequests() = 0;
  virtual absl::StatusOr<std::vector<JobRecord>> LoadJobs() = 0;  // in order of creation

  // All or none. kAlreadyExists when one of them was granted before.
  virtual absl::Status InsertAttempts(const std::vector<AttemptRecord>& attempts) = 0;
  // kNotFound when it was never granted. Ending an ended attempt changes nothing.
  virtual absl::Status EndAttempt(const LeaseToken& token, AttemptEnd end, const std::string& reason) = 0;
  virtual absl::StatusOr<std::vector<AttemptRecord>> LoadAttempts(const std::string& job_id) = 0;  // in order of granting

  // Appends the events in their order and returns their sequence numbers, all or none, in one transaction; with each
  // writes the job's elapsed_seconds, ends the attempt of an outcome as committed and enters `bank` (when given, and when
  // the manifest has no such layer: the first commit wins). kAlreadyExists when a task has an outcome or was given up;
  // kFailedPrecondition when an outcome's attempt (other than 0) was never granted with this input digest; kNotFound
  // when there is no such job.
  virtual absl::StatusOr<std::vector<int64_t>> CommitAll(const std::vector<EventCommit>& commits) = 0;
  // One event.
  absl::StatusOr<int64_t> Commit(const EventRecord& event, const std::optional<BankLayerRecord>& bank) {
    const absl::StatusOr<std::vector<int64_t>> sequences = CommitAll({{event, bank}});
    if (!sequences.ok()) return sequences.status();
    return sequences->front();
  }
  virtual absl::StatusOr<std::vector<EventRecord>> LoadEvents(const std::string& job_id, int64_t after_sequence) = 0;

  // The layer's newest revision that is not lost.
  virtual absl::StatusOr<std::optional<BankLayerRecord>> FindBankLayer(const std::string& key, int layer) = 0;
  // Layers with this artifact are lost; the next commit of one makes a new revision.
  virtual absl::Status LoseBankLayers(const std::string& artifact) = 0;

  // kUnavailable or kDataLoss when nothing more can be written (a failed sync, a damaged file).
  virtual absl::Status Health() const = 0;
};

}  // namespace espalier
