// One job inside the core: its record, its program and what was committed. Confined to the coordinator's lock.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/domain/device_memory.h"
#include "coordinator/core/search_health.h"
#include "coordinator/core/views.h"
#include "coordinator/schedule/attempt_log.h"
#include "coordinator/schedule/job_queue.h"
#include "coordinator/schedule/matcher.h"
#include "coordinator/search/job_program.h"
#include "coordinator/search/stage_times.h"
#include "coordinator/store/job_store.h"

namespace espalier {

// Makes a job's program; tests put a small one in its place.
using ProgramFactory = std::function<absl::StatusOr<std::unique_ptr<JobProgram>>(
    const std::string& job_id, const JobSpec& resolved, const JobInputs& inputs)>;

JobSize SizeOf(const JobPreview& preview);

class JobEntry {
 public:
  // Parses the record; the program is made when it is first needed.
  static absl::StatusOr<std::unique_ptr<JobEntry>> Make(JobRecord record, ProgramFactory factory);

  // A granted attempt, as the store has it.
  struct Granted {
    int64_t epoch = 0;
    std::string worker_id;
    std::string input_digest;
  };
  struct Queued {
    Task task;
    std::string input_digest;
    absl::Time wanted_since;
    int64_t position = 0;          // rank in the order of urgency, least first
    bool is_bank_checked = false;  // the bank manifest had nothing for it
  };

  // Makes the program and replays what was committed. No-op when there is one.
  absl::Status EnsureProgram(JobStore& store);
  // Tells the program a committed event and refreshes the queue.
  absl::Status Apply(const EventRecord& event, absl::Time now);
  // What the program wants now, with the time since when.
  void RefreshQueue(absl::Time now);
  // The task has a lease from now on, or none any more: then it is ready to be leased, if it is wanted still.
  void SetLeased(const std::string& task_id, bool is_leased);
  // The bank manifest has changed: tasks of banks may be found there.
  void CheckBanksAgain();
  // Whether a retained state can still be of use.
  bool IsLive(const StateKey& state);
  // Digests of its inputs that were uploaded.
  std::vector<std::string> Uploads() const;
  // Reads on in the store until `artifacts` has the digests of all that the job refers to: its result, what its outcomes
  // name, and inputs that were uploaded.
  absl::Status NoteArtifacts(JobStore& store);
  // What a worker must be for this job's tasks.
  Requirements WorkerRequirements();
  // Whether a result, or somebody who may still bring one, holds it to its numerics class. A job whose first worker is
  // lost before it reported anything may go on with workers of any class.
  bool IsBoundToClass() const;
  // Whether nothing that workers of this class compute counts for it.
  bool IsOfOtherClass(const std::string& numerics_class) const;

  // Made when it is first asked for.
  const JobPreview& Preview();

  bool is_active() const { return record.state == JobState::kQueued || record.state == JobState::kRunning; }
  absl::Duration Elapsed(absl::Time now) const;
  void StartClock(absl::Time now);  // no-op when it runs
  void StopClock(absl::Time now);

  const Granted* FindGranted(const std::string& task_id, int attempt) const;
  Queued* FindQueued(const std::string& task_id);

  JobRecord record;
  JobSpec spec;
  JobInputs inputs;
  Ladder ladder;
  std::unique_ptr<JobProgram> program;
  std::string replay_error;  // why there is no program
  int64_t last_sequence = 0;
  // A commit was reported as failed and may be in the store all the same: nothing more is committed before that is known.
  bool is_behind = false;
  bool is_state_uncertain = false;  // the same of a change of its state
  bool is_class_uncertain = false;  // the same of its numerics class
  // Task -> the attempt whose outcome was committed; 0 when it was given up or taken over.
  std::map<std::string, int> told;
  bool has_outcome = false;  // of an attempt of its own
  std::map<std::string, std::map<int, Granted>> granted;
  AttemptLog attempts;
  std::map<std::string, Queued> queue;  // what is wanted, by task id
  JobQueue ready;                       // of it, what has no lease
  std::set<std::string> leased;         // task ids, wanted or not
  bool has_unchecked_banks = false;     // something in the queue is not is_bank_checked
  bool may_have_unwanted_leases = false;
  std::vector<std::string> failed_tasks;
  std::string waiting_for;
  bool is_wall_time_told = false;
  int64_t version = 1;
  std::string caller;  // empty after a restart
  StageTimes stage_times;  // since this coordinator began
  std::set<std::string> artifacts;  // as of NoteArtifacts
  double useful_slot_seconds = 0;  // of leases that are over, since this coordinator began
  double wasted_slot_seconds = 0;
  std::vector<OffspringTallies> ended_offspring;  // of generations that Apply ended
  std::optional<absl::Duration> ended_generation;  // set by Apply when one ended whose beginning is known

  // How the search does; the program must be there.
  const SearchHealth& Health();

 private:
  absl::Status Tell(const EventRecord& event);
  void RemoveQueued(const std::string& task_id);
  void NoteGenerations(absl::Time now);

  int64_t artifacts_sequence_ = 0;
  std::optional<JobPreview> preview_;
  std::set<StateKey> live_states_;  // as of live_sequence_
  int64_t live_sequence_ = -1;

  ProgramFactory factory_;
  absl::Time running_since_ = absl::InfinitePast();
  SearchHealth health_;
  std::optional<int64_t> least_memory_;  // bytes that its hardest task needs, as WorkerRequirements estimates them
  size_t num_generations_ = 0;
  absl::Time generation_began_ = absl::InfiniteFuture();  // unknown
};

}  // namespace espalier
