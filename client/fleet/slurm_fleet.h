// A fleet under Slurm: a folder with the job scripts, its settings and the logs, and array jobs that run its workers.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace espalier {

struct SlurmFleet {
  std::string folder = {};  // seen by all nodes
  int workers = 1;
  bool with_coordinator = false;  // the coordinator is a job too
  // Into FLEET/settings.sh, which is written once and then belongs to whoever runs the fleet.
  std::string programs = {};     // folder of the programs on the nodes
  std::string coordinator = {};  // HOST:PORT[,HOST:PORT]; empty: FLEET/address
  std::string token_file = {};
  std::string artifacts = {};
  std::string device = "cuda";
  // To sbatch.
  std::string name = "espalier";  // of the jobs
  int gpus = 1;                   // for each worker
  std::string time = {};          // as sbatch takes it; empty: the partition's
  std::string partition = {};
  std::vector<std::string> sbatch_flags = {};  // further ones, as they are
};

struct FleetUp {
  int found = 0;      // workers that are queued or running already
  int submitted = 0;  // those that were missing
  std::string worker_job;
  std::string coordinator_job;  // empty when none was submitted
  bool settings_kept = false;
};

// kInvalidArgument names a flag that sbatch or a shell could misread.
absl::Status CheckFleet(const SlurmFleet& fleet);

// FLEET/settings.sh for these settings.
std::string SettingsText(const SlurmFleet& fleet);

// The sbatch arguments that submit `count` workers.
std::vector<std::string> WorkerArguments(const SlurmFleet& fleet, int count);

// Writes the folder, then submits as many workers as are missing. kNotFound: no sbatch on this machine. kAborted: Slurm
// refused, with its words.
absl::StatusOr<FleetUp> BringUp(const SlurmFleet& fleet);

// Cancels the fleet's workers, which drain first, and its coordinator.
absl::Status TakeDown(const SlurmFleet& fleet);

}  // namespace espalier
