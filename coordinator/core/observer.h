// What the core tells about itself, for logs and metrics. Called with the core's lock held: must not call back and must
// not block.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/domain/job.h"
#include "common/domain/lease_token.h"
#include "common/domain/task.h"
#include "coordinator/search/offspring_tally.h"
#include "coordinator/search/stage_times.h"
#include "coordinator/store/job_store.h"

namespace espalier {

// How the coordinator lost sight of a worker.
enum class WorkerEnd {
  kLeft,    // it drained and said goodbye
  kDied,    // its supervisor told of its end
  kSilent,  // nothing was heard for long
};
const char* Name(WorkerEnd end);  // "left", "died", "silent"

class CoordinatorObserver {
 public:
  virtual ~CoordinatorObserver() = default;
  virtual void OnJobState(const std::string& /*job_id*/, JobState /*state*/, const std::string& /*why*/) {}
  virtual void OnLeaseGranted(const LeaseToken& /*token*/, const std::string& /*worker_id*/, TaskKind /*kind*/,
                              const std::string& /*reason*/, absl::Duration /*queued*/) {}
  virtual void OnLeaseEnded(const LeaseToken& /*token*/, const std::string& /*worker_id*/, AttemptEnd /*end*/,
                            const std::string& /*reason*/) {}
  // `ran`: since the lease was granted; zero for an outcome taken over from another job's bank.
  virtual void OnCommitted(const LeaseToken& /*token*/, const TaskOutcome& /*outcome*/, absl::Duration /*ran*/) {}
  // A lease is over after `held`; unless `end` is kCommitted its time is lost.
  virtual void OnLeaseOver(absl::Duration /*held*/, AttemptEnd /*end*/) {}
  // A generation of a search has ended, `took` after the one before.
  virtual void OnGenerationEnded(const std::string& /*job_id*/, absl::Duration /*took*/) {}
  // What became of its offspring.
  virtual void OnOffspringMeasured(const std::string& /*job_id*/, const OffspringTallies& /*offspring*/) {}
  // A stage of it; told when the whole generation is over.
  virtual void OnStageEnded(const std::string& /*job_id*/, const StageTime& /*time*/) {}
  virtual void OnReportRefused(const LeaseToken& /*token*/, const std::string& /*reason*/) {}
  virtual void OnTaskGivenUp(const std::string& /*job_id*/, const std::string& /*task_id*/, const std::string& /*why*/) {}
  virtual void OnWorkerSeen(const std::string& /*worker_id*/, const std::string& /*host_and_device*/) {}
  // `reasons` empty: it gets leases again.
  virtual void OnWorkerQuarantined(const std::string& /*worker_id*/, absl::Duration /*term*/,
                                   const std::vector<std::string>& /*reasons*/) {}
  virtual void OnWorkerGone(const std::string& /*worker_id*/, WorkerEnd /*end*/, const std::string& /*why*/) {}
  virtual void OnStoreError(const std::string& /*what*/, const absl::Status& /*status*/) {}
  virtual void OnStoreWrite(absl::Duration /*took*/) {}
};

}  // namespace espalier
