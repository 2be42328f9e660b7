// A search in one process without a service: the program of a job asks, the engine answers, as often as it takes. Free
// of LibTorch.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "bench/options.h"
#include "common/domain/job.h"
#include "common/domain/job_inputs.h"
#include "common/domain/task.h"
#include "coordinator/search/job_program.h"
#include "worker/engine/engine.h"

namespace espalier::bench {

// Where a benchmark's model, tokens and artifacts lie.
struct Files {
  std::string folder;
  std::string model;
  std::string tokens;
  JobInputs inputs;
};

// Uses what the options name and makes the rest (model_maker, token_maker write to the path they are given).
absl::StatusOr<Files> PrepareFiles(const Options& options, const std::string& folder,
                                   const std::function<absl::Status(const std::string&)>& model_maker,
                                   const std::function<absl::Status(const std::string&)>& token_maker);

// A task that the engine ran.
struct TaskRecord {
  Task task;
  TaskOutcome outcome;
  double begin = 0;  // seconds since the loop was made
  double end = 0;
  int slot = 0;
  std::map<std::string, double> seconds_by_step;  // from the engine's progress reports
};

// Bytes of retained training states by where they lie.
struct PlacedBytes {
  int64_t device = 0, host = 0, disk = 0;
};

class JobLoop {
 public:
  // `known` holds outcomes by InputDigest that need not be computed again; bank layers are added to it.
  static absl::StatusOr<std::unique_ptr<JobLoop>> Create(const JobSpec& spec, const JobInputs& inputs, Engine* engine,
                                                         std::map<std::string, TaskOutcome>* known);

  // Runs tasks on all slots of the engine until `reached` holds after a told outcome.
  absl::Status RunUntil(const std::function<bool(const JobProgram&)>& reached);

  const JobProgram& program() const { return *program_; }
  const JobSpec& spec() const { return spec_; }  // resolved
  const std::vector<TaskRecord>& records() const { return records_; }
  double Seconds() const;  // since the loop was made
  // The most that lay at each place at once, before what is no longer wanted went.
  const PlacedBytes& most_retained() const { return most_retained_; }

 private:
  struct Shared;

  JobLoop(Engine* engine, std::map<std::string, TaskOutcome>* known);
  absl::StatusOr<TaskRecord> Answer(const Task& task);
  void BookRetained();
  void Work(int slot, const std::function<bool(const JobProgram&)>& reached, Shared& shared);

  Engine* const engine_;
  std::map<std::string, TaskOutcome>* const known_;
  const double start_;
  JobSpec spec_;
  std::unique_ptr<JobProgram> program_;
  std::vector<TaskRecord> records_;
  PlacedBytes most_retained_;
};

}  // namespace espalier::bench
