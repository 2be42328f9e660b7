// The coordinator's core: jobs, workers, leases, and the one lock over them.
//
// Decisions. Time enters as an argument, once for each call (Enter); there is no clock inside. What a call changes is
// durable in the store before it shows anywhere. Everything committed is told to the job's program in the order of the
// store, so that a restart replays to the same state. Any thread may call; calls that write wait for the store, so the
// RPC layer calls from its own thread and never from a reaction.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/artifacts/artifact_store.h"
#include "common/domain/synchronize.h"
#include "coordinator/core/commit_group.h"
#include "coordinator/core/job_entry.h"
#include "coordinator/core/observer.h"
#include "coordinator/core/options.h"
#include "coordinator/core/page_snapshots.h"
#include "coordinator/core/views.h"
#include "coordinator/schedule/fair_shares.h"
#include "coordinator/schedule/lease_table.h"
#include "coordinator/schedule/quarantine.h"
#include "coordinator/schedule/worker_table.h"
#include "coordinator/store/job_store.h"

namespace espalier {

// A checked specification, ready to run.
struct NewJob {
  std::string job_id;      // empty: one is made from the request
  std::string request_id;  // empty: none
  std::string submitted;   // the specification as sent
  JobSpec resolved;
  JobInputs inputs;
  absl::Time create_time;  // wall clock, shown to people only
  std::string caller;      // whose job it is, for limits
};

// Of all jobs that are not deleted, whatever their state.
struct ArtifactReferences {
  std::set<std::string> digests;
  std::vector<std::string> job_ids;
  std::set<std::string> released;  // what jobs referred to that were deleted since the last time
};

// Told after a call, without the lock.
class CoordinatorListener {
 public:
  virtual ~CoordinatorListener() = default;
  virtual void OnWorkersReady(const std::vector<std::string>& /*worker_ids*/) {}  // waiting calls that have an answer now
  virtual void OnJobsChanged(const std::vector<std::string>& /*job_ids*/) {}
};

class Coordinator {
 public:
  struct Parts {
    JobStore* store = nullptr;          // outlives the coordinator, as all of these
    ArtifactStore* artifacts = nullptr;
    ProgramFactory programs;
    CoordinatorObserver* observer = nullptr;
    CoordinatorOptions options;
  };

  // Restores every job from the store: programs replayed, open leases with one fresh term.
  static absl::StatusOr<std::unique_ptr<Coordinator>> Open(Parts parts, absl::Time now);

  // A call that runs on another thread meanwhile may still tell the former one.
  void SetListener(CoordinatorListener* listener);

  // kFailedPrecondition: the job has recovery tokens, and all workers known of its kind have too little memory for that.
  // kResourceExhausted: there are, or the caller has, as many jobs that have not ended as the limits allow.
  // kAlreadyExists: the job id is taken, or the request id was used with another specification. The same request again
  // gives the same job.
  absl::StatusOr<JobView> CreateJob(absl::Time now, const NewJob& job);
  // The job of an earlier equal request; nullopt when the request id is new. For asking before the inputs are read.
  absl::StatusOr<std::optional<JobView>> FindRequest(absl::Time now, const std::string& request_id,
                                                     const std::string& submitted);
  absl::StatusOr<JobView> GetJob(absl::Time now, const std::string& job_id);
  // Of GetJob's answer, without making it.
  absl::StatusOr<int64_t> JobVersion(const std::string& job_id);
  // Newest first, without the long parts.
  std::vector<JobView> ListJobs(absl::Time now);
  absl::StatusOr<JobView> CancelJob(absl::Time now, const std::string& job_id);
  absl::StatusOr<JobView> PauseJob(absl::Time now, const std::string& job_id);
  absl::StatusOr<JobView> ResumeJob(absl::Time now, const std::string& job_id);
  absl::Status DeleteJob(absl::Time now, const std::string& job_id);
  absl::StatusOr<std::vector<CandidateView>> ListCandidates(absl::Time now, const std::string& job_id);
  std::vector<WorkerView> ListWorkers(absl::Time now);

  struct SyncAnswer {
    SynchronizeResponse response;
    // Set: there is nothing to say yet; the call should wait at most this long for OnWorkersReady and then Collect.
    std::optional<absl::Duration> wait;
  };
  // kInvalidArgument, or kFailedPrecondition for another protocol version.
  absl::StatusOr<SyncAnswer> Synchronize(absl::Time now, const SynchronizeRequest& request);
  // Many at once, each by another worker, in this order: what they have in common (time, leases) is done once.
  std::vector<absl::StatusOr<SyncAnswer>> SynchronizeAll(absl::Time now,
                                                         const std::vector<const SynchronizeRequest*>& requests);
  // Ends the wait of a worker with what there is to say. kNotFound for a worker that is not known.
  absl::StatusOr<SynchronizeResponse> Collect(absl::Time now, const std::string& worker_id);
  // The waiting call was given up by the worker's side.
  void StopWaiting(absl::Time now, const std::string& worker_id);

  // Runs what is due; to be called a few times a second.
  void Tick(absl::Time now);

  // What a resolved job would take, from the rate of what workers have done since this coordinator's start.
  TimeEstimate EstimateJob(absl::Time now, const JobPreview& preview);

  // What CreateJob would say of the job's need of memory: its refusal, or a warning when the job would wait for a larger
  // worker than those known (empty: it would not).
  absl::StatusOr<std::string> JudgeMemory(const JobPreview& preview);

  // For pages (page_snapshots.h). kNotFound: there is no such job or candidate.
  JobsSnapshot SnapshotJobs(absl::Time now, int first, int count);
  absl::StatusOr<JobSnapshot> SnapshotJob(absl::Time now, const std::string& job_id, std::optional<int> generation);
  // `candidate_id`: as CandidateView's, with '/' or '-' between its parts.
  absl::StatusOr<CandidateSnapshot> SnapshotCandidate(absl::Time now, const std::string& job_id,
                                                      const std::string& candidate_id);

  // For ArtifactCollector (CoordinatorOptions::collects_artifacts). An error: the store cannot be read or written now, so
  // nothing may be collected.
  absl::StatusOr<ArtifactReferences> ReferencedArtifacts();
  // Those of `digests` to which no job refers. From here on no bank gives them to a job, and until EndCollecting (after an
  // error, too) no outcome that names one is committed.
  absl::StatusOr<std::vector<std::string>> BeginCollecting(const std::vector<std::string>& digests);
  void EndCollecting();
  // By a write that changes nothing.
  absl::Status ConfirmLeads();

  CoordinatorSnapshot Snapshot(absl::Time now);
  // Not OK when this coordinator must end: another one has taken over, or the store cannot be written any more.
  absl::Status Fatal();

 private:
  struct Notices {
    std::set<std::string> workers;
    std::set<std::string> jobs;
  };

  explicit Coordinator(Parts parts);
  // Every public call runs in here: takes the lock, lets time pass, acts, settles, and tells the listener afterwards.
  template <typename Action>
  auto Enter(absl::Time now, const Action& action);
  void LetTimePass(absl::Time now);
  void Settle(absl::Time now);
  void Deliver(std::unique_lock<std::mutex>& lock);  // unlocks it, then tells the listener
  void NoteStoreError(const char* what, const absl::Status& status);
  template <typename Write>
  auto Timed(const Write& write);

  // recover.cc
  absl::Status Restore(absl::Time now);
  absl::Status RestoreJob(JobRecord record, absl::Time now);
  absl::Status RestoreRates();
  void RestoreAttempts(JobEntry& job, const std::vector<AttemptRecord>& attempts, absl::Time now);

  // jobs.cc
  absl::StatusOr<JobEntry*> FindJob(const std::string& job_id);
  absl::StatusOr<JobEntry*> FindWithProgram(const std::string& job_id);
  absl::Status ChangeState(JobEntry& job, JobState state, const std::string& failure, absl::Time now);
  void EnterState(JobEntry& job, JobState state, const std::string& failure, absl::Time now);
  absl::Status ConfirmState(JobEntry& job);
  absl::StatusOr<JobEntry*> FindJobOfRequest(const std::string& request_id, const std::string& submitted);
  void TakeBackLeases(JobEntry& job, const std::string& reason);
  absl::Status CheckJobLimits(const std::string& caller) const;
  absl::Status CheckWindowLimit(JobEntry& added);
  absl::StatusOr<std::string> JudgeMemoryOf(const JobPreview& preview) const;
  std::string ChooseJobId(const NewJob& job) const;
  JobView ViewOf(JobEntry& job, absl::Time now, bool is_brief);

  // synchronize.cc
  absl::Status CheckRequest(const SynchronizeRequest& request) const;
  void NoteWorker(const SynchronizeRequest& request, absl::Time now);
  void RenewHeld(const SynchronizeRequest& request, absl::Time now);
  bool TakeBackIfStuck(const HeldLease& held, const std::string& worker_id, absl::Time now);
  void TrimLeases(const SynchronizeRequest& request);
  bool Readopt(const LeaseToken& token, const std::string& worker_id, absl::Time now);
  void RemoveWorker(const std::string& worker_id, AttemptEnd end, const std::string& reason, absl::Time now);
  absl::Status TakeIn(const SynchronizeRequest& request, absl::Time now);
  void WaitOrLeave(const SynchronizeRequest& request, absl::Time now);
  SyncAnswer AnswerTo(const SynchronizeRequest& request, std::vector<Verdict> verdicts);
  SynchronizeResponse Answer(WorkerEntry& worker);
  std::vector<StateKey> KeepStates(const WorkerEntry& worker);
  absl::Duration PollTime() const;
  absl::Duration HeartbeatTime() const;
  absl::Duration NextCall(const WorkerEntry& worker, const SynchronizeResponse& response, bool has_all_verdicts) const;
  absl::Duration Pause() const;  // between calls that have nothing to say

  // report.cc
  void JudgeAll(std::vector<Report>& reports, absl::Time now);
  std::optional<Verdict> Judge(Report& report, CommitGroup& group, absl::Time now);
  std::optional<Verdict> JudgeOutcome(JobEntry& job, Report& report, const std::string& input_digest, CommitGroup& group,
                                      absl::Time now);
  std::optional<Verdict> JudgeFailure(JobEntry& job, const std::string& worker_id, const LeaseToken& token,
                                      const TaskFailure& failure, absl::Time now);
  EventCommit MakeCommit(const JobEntry& job, const Task& task, const LeaseToken& token, const std::string& input_digest,
                         const TaskOutcome& outcome, absl::Time now) const;
  void NoteLostArtifact(JobEntry& job, const std::string& digest, absl::Time now);
  void EndLease(const Lease& lease, AttemptEnd end, const std::string& reason);
  // Every lease begins and ends through these two, so that the job's queue and share agree with the table.
  void AddLease(Lease lease);
  void NoteLeaseOver(const Lease& lease, AttemptEnd end);
  void NoteExpired(const Lease& lease, const std::string& reason, absl::Time now);
  void GiveUpIfDue(JobEntry& job, const std::string& task_id, absl::Time now);

  // commit.cc
  absl::Status ApplyCommitted(JobEntry& job, const EventRecord& event, absl::Time now);
  absl::Status CommitEvent(JobEntry& job, EventRecord event, const std::optional<BankLayerRecord>& bank, absl::Time now);
  void CommitTogether(CommitGroup& group, absl::Time now);
  std::optional<Verdict> Conclude(const CommitGroup::Member& member, const absl::Status& status, absl::Time now);
  void NoteDone(const std::string& worker_id, const LeaseToken& token, const std::set<std::string>& failed_workers,
                absl::Time now);
  void NoteWork(const JobEntry& job, const TaskOutcome& outcome);

  // artifact_references.cc
  absl::Status NoteAllArtifacts();
  absl::Status CheckNotCollected(const std::vector<std::string>& digests, bool is_of_older_epoch);

  // catch_up.cc
  void CatchUp(absl::Time now);
  absl::Status TellMissed(JobEntry& job, absl::Time now);
  absl::Status ReadUncertainJobs(absl::Time now);
  void EndStrays();

  // grant.cc
  void DropUnwantedLeases(JobEntry& job);
  void TakeFromBanks(JobEntry& job, absl::Time now);
  void GrantLeases(absl::Time now);
  std::vector<JobDemand> Demands();
  std::vector<WorkerSlots> FreeSlots() const;
  void NoteWaiting(const MatchResult& match);
  void Grant(const MatchResult& match, absl::Time now);
  absl::Status PinNumericsClasses(const MatchResult& match);
  const std::string& ClassOf(const std::string& worker_id) const;
  // The job is that class's from now on; no-op when it is already.
  absl::Status PinNumericsClass(JobEntry& job, const std::string& numerics_class);
  void EndLeasesOfOtherClass(const std::string& worker_id);
  void EnterLease(const AttemptRecord& attempt, const Assignment& assignment, absl::Time now);
  void FinishIfDone(JobEntry& job, absl::Time now);
  absl::Status StoreResult(JobEntry& job, absl::Time now);

  Parts parts_;
  CoordinatorObserver no_observer_;
  std::mutex mutex_;
  // All below: guarded by mutex_.
  CoordinatorListener* listener_ = nullptr;
  std::map<std::string, std::unique_ptr<JobEntry>> jobs_;
  std::vector<std::string> job_order_;  // by creation
  LeaseTable leases_;
  WorkerTable workers_;
  FairShares shares_;
  Quarantine quarantine_;
  absl::Time now_ = absl::InfinitePast();  // of the call under way
  std::map<std::string, std::vector<LeaseToken>> held_;  // by worker, as it last said
  // After writes that were reported as failed (catch_up.cc): the store may have jobs that are not in jobs_, and these
  // attempts, which nobody was told of.
  bool has_uncertain_jobs_ = false;
  std::vector<LeaseToken> strays_;
  std::map<std::string, std::string> deleted_requests_;  // job ids by the request ids of jobs that were deleted
  std::map<std::string, bool> collected_;  // digests that this coordinator has taken away; true: it is being done
  std::set<std::string> released_;         // for ReferencedArtifacts
  std::set<LeaseToken> stuck_;  // taken back as stuck: not to be adopted again
  Notices notices_;
  std::map<DeviceKind, WorkRate> rates_;  // for EstimateJob
  absl::Status fatal_;
};

}  // namespace espalier
