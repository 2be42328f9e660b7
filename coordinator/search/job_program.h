// The whole course of a job as ask and tell: bank, first parent, generations with their stages, play-off, yardsticks,
// finish. Pure: values in, values out. Its state is a function of (specification, inputs, committed events in their
// order), so a restarted coordinator makes a new one and tells it the committed outcomes again; nothing is saved. What
// it wants next never depends on how many workers there are or on the order of answers within a stage.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/domain/job.h"
#include "common/domain/job_inputs.h"
#include "common/domain/task.h"
#include "coordinator/search/offspring_tally.h"

namespace espalier {

// What a specification will cost, before anything ran (also the answer to validate_only).
struct JobPreview {
  JobSpec resolved;  // presets and zeros filled in
  int64_t dense_cost = 0;
  int64_t target_cost = 0;
  int64_t dense_parameters = 0;
  int64_t train_tokens = 0;  // of the whole search, at most
  int64_t score_tokens = 0;
  int64_t recovery_tokens = 0;
  int64_t num_evaluations = 0;
  int64_t bank_bytes = 0;
  int64_t device_bytes = 0;  // what training a candidate of the target's size takes on one device, about
  std::vector<std::string> warnings;
};

// `spec` is a user's fields over PresetSpec (job_presets.h). Fills in what is still zero or empty (phases: the
// preset's), checks everything against the inputs. kInvalidArgument names the field, its value and what is possible
// (e.g. too few tokens: how many the schedule needs). Resolving what was resolved changes nothing. BALANCED as it is in
// the preset is cut to what the pools of a small token file hold, with a warning; any other schedule is taken at its
// word.
absl::StatusOr<JobPreview> ResolveJob(const JobSpec& spec, const JobInputs& inputs);

struct CandidateView {
  std::string id;  // "p0/g3/c05"; "uniform", "additive", "first-parent"
  int phase = 0;
  int generation = 0;  // within the job, from 0
  Mask mask;
  std::string mask_digest;
  int64_t cost = 0;
  bool is_parent = false;  // became (or stayed) the parent of its generation
  std::vector<std::pair<int, Measurement>> by_stage;
};

inline bool IsInfeasible(const CandidateView& candidate) {
  return !candidate.by_stage.empty() && !candidate.by_stage.back().second.feasible;
}

struct GenerationView {
  int phase = 0;
  int generation = 0;
  std::string parent_digest;
  double fitness = 0;
  double standard_error = 0;
  double one_shot_fitness = 0;  // of the new parent, on the fixed report windows; 0 until measured
  int64_t trained_tokens = 0;   // of the job so far
  int64_t scored_tokens = 0;
  double engine_seconds = 0;  // sum over the job's committed tasks so far
  double rank_agreement = 0;  // Spearman between the first trained stage and the last over common candidates
  OffspringTallies offspring;
};

struct JobProgress {
  std::string step;  // "bank", "additive", "search", "play_off", "finish", "done"
  int phase = 0;
  int generation = 0;
  int num_generations = 0;  // planned, over all phases
  int stage = 0;
  int num_stages = 0;
  int tasks_done = 0;  // of the present step or stage
  int tasks_total = 0;
  int64_t trained_tokens = 0;
  int64_t planned_train_tokens = 0;
  int64_t scored_tokens = 0;
  double best_fitness = 0;
  double best_standard_error = 0;
  std::string best_digest;
  int64_t num_evaluations = 0;  // committed, as what follows
  double engine_seconds = 0;
  int64_t bank_bytes = 0;
  int64_t peak_bytes = 0;  // the most device memory that an evaluation took; 0 on CPU
};

struct Yardstick {  // "uniform", "additive"
  Mask mask;
  int64_t parameters = 0;
  double one_shot_fitness = 0;
  double one_shot_perplexity = 0;
  std::optional<double> recovered_perplexity;
};

// Everything that result.json says of the search; wire/ and client/ turn it into text.
struct JobResult {
  int64_t dense_parameters = 0;
  int64_t parameters = 0;
  int64_t target_parameters = 0;
  Mask mask;
  std::string mask_digest;
  double fitness = 0;
  double fitness_standard_error = 0;
  double one_shot_fitness = 0;
  double one_shot_perplexity = 0;
  double dense_perplexity = 0;
  double perplexity = 0;
  std::map<std::string, Yardstick> yardsticks;
  int sequence_length = 0;
  int generations = 0;
  int64_t trained_tokens = 0;
  int64_t scored_tokens = 0;
  double engine_seconds = 0;
  std::string stopped_because;  // "generations", "token_budget", "wall_time", "patience"
  std::string chosen_because;   // play-off: which finalist won and by how much
  std::vector<std::string> warnings;
  std::optional<FinishOutcome> finish;
};

class JobProgram {
 public:
  // `resolved` comes from ResolveJob.
  static absl::StatusOr<std::unique_ptr<JobProgram>> Create(const std::string& job_id, const JobSpec& resolved,
                                                            const JobInputs& inputs);
  virtual ~JobProgram() = default;

  // Tasks that may run now and have not been told, most urgent first (longest first within a stage). The same task has
  // the same task_id and content at every call and after every restart.
  virtual std::vector<Task> Wanted() const = 0;
  // As long as it stays the same, Wanted changes only by leaving out what was told: so a long list need not be made anew
  // for each outcome.
  virtual int64_t WantedRevision() const = 0;
  // How many tasks the part of the program that wants this one waits for, itself included; 0 when it is not wanted. While
  // others of them are left, telling its outcome changes nothing for any other task.
  virtual int NumLeft(const std::string& task_id) const = 0;

  // A committed outcome. kFailedPrecondition for a task that is not wanted (told before, or of an ended stage);
  // kInvalidArgument for an outcome that cannot be true (NaN, wrong size), which leaves the program as it was.
  virtual absl::Status Tell(const std::string& task_id, const TaskOutcome& outcome) = 0;
  // Checks an outcome as Tell does, without telling it.
  virtual absl::Status Check(const std::string& task_id, const TaskOutcome& outcome) const = 0;

  // A task was given up after its last attempt. An evaluation becomes infeasible; any other task fails the job.
  virtual absl::Status TellFailed(const std::string& task_id, const std::string& reason) = 0;

  // A committed event: the wall-time stop (the search ends after the running generation is dropped, and goes to the
  // play-off), as if its generations had been used up.
  virtual void TellWallTimeStop() = 0;

  // An artifact of the bank is damaged or gone: its layer is wanted again. No-op for unknown digests.
  virtual void TellArtifactLost(const std::string& artifact_digest) = 0;

  virtual bool finished() const = 0;
  virtual std::optional<std::string> failure() const = 0;  // why the job cannot go on

  // Retained states that can still be of use; all others may be dropped.
  virtual std::vector<StateKey> LiveStates() const = 0;

  virtual JobProgress Progress() const = 0;
  virtual std::vector<CandidateView> Candidates() const = 0;  // in order of creation
  // Copies of those only: there may be ten thousands, each with its per-window fitness.
  virtual std::vector<CandidateView> CandidatesWhere(const std::function<bool(const CandidateView&)>& is_wanted) const;
  virtual std::vector<GenerationView> Generations() const = 0;
  virtual const JobResult& result() const = 0;  // complete when finished() and not failed
};

}  // namespace espalier
