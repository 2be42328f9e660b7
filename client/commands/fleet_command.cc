#include <cstdio>
#include <nlohmann/json.hpp>

#include "client/commands/commands.h"
#include "client/exit_codes.h"
#include "client/fleet/slurm_fleet.h"
#include "client/render/output.h"
#include "client/run/interrupt.h"

namespace espalier {
namespace {

struct FleetFlags {
  SlurmFleet fleet;
  bool is_slurm = false;
  std::string format = "table";
};

int Up(const FleetFlags& flags) {
  CatchInterrupts();
  const absl::StatusOr<FleetUp> up = BringUp(flags.fleet);
  if (!up.ok()) return Fail(up.status());
  const nlohmann::ordered_json json = {{"fleet", flags.fleet.folder},
                                       {"wanted", flags.fleet.workers},
                                       {"found", up->found},
                                       {"submitted", up->submitted},
                                       {"worker_job", up->worker_job},
                                       {"coordinator_job", up->coordinator_job}};
  std::vector<std::string> jobs;
  for (const std::string& job : {up->coordinator_job, up->worker_job}) {
    if (!job.empty()) jobs.push_back(job);
  }
  if (PrintOutput(flags.format, [&json] { return json; }, jobs)) return kExitOk;
  if (!up->coordinator_job.empty()) std::printf("coordinator  job %s\n", up->coordinator_job.c_str());
  if (up->submitted > 0) {
    std::printf("workers      job %s, %d of %d (%d were there)\n", up->worker_job.c_str(), up->submitted,
                flags.fleet.workers, up->found);
  } else {
    std::printf("workers      %d there, %d wanted: nothing to submit\n", up->found, flags.fleet.workers);
  }
  std::printf("settings     %s/settings.sh%s\nlogs         %s/logs\n", flags.fleet.folder.c_str(),
              up->settings_kept ? " (kept as it was)" : "", flags.fleet.folder.c_str());
  return kExitOk;
}

int Down(const FleetFlags& flags) {
  CatchInterrupts();
  const absl::Status status = TakeDown(flags.fleet);
  return status.ok() ? kExitOk : Fail(status);
}

void AddUp(CLI::App& fleet, int& exit_code) {
  auto flags = std::make_shared<FleetFlags>();
  CLI::App* up = fleet.add_subcommand("up", "submit the workers that are missing");
  SlurmFleet& options = flags->fleet;
  up->add_flag("--slurm", flags->is_slurm, "as array jobs of Slurm")->required();
  up->add_option("--fleet", options.folder, "folder of the fleet, seen by all nodes")->required()->type_name("FOLDER");
  up->add_option("--workers", options.workers, "how many there shall be")->required();
  up->add_flag("--with-coordinator", options.with_coordinator, "the coordinator is a job too, if none is there");
  up->add_option("--name", options.name, "of the jobs; two fleets need two")->capture_default_str();
  up->add_option("--gpus", options.gpus, "for each worker (0: none asked for)")->capture_default_str();
  up->add_option("--time", options.time, "time limit of each worker, as sbatch takes it");
  up->add_option("--partition", options.partition, "Slurm's partition");
  up->add_option("--sbatch", options.sbatch_flags, "a further flag for sbatch of the workers, e.g. --sbatch=--mem=64G");
  up->add_option("--programs", options.programs, "folder of the programs on the nodes (else along PATH)");
  up->add_option("--coordinator", options.coordinator, "HOST:PORT of the coordinator (else what FLEET/address says)");
  up->add_option("--token-file", options.token_file, "token of the workers");
  up->add_option("--artifacts", options.artifacts, "artifact folder, seen by all nodes (else FLEET/artifacts)");
  up->add_option("--device", options.device, "of the workers")->capture_default_str();
  AddFormatFlag(*up, flags->format);
  up->callback([flags, &exit_code] { exit_code = Up(*flags); });
}

void AddDown(CLI::App& fleet, int& exit_code) {
  auto flags = std::make_shared<FleetFlags>();
  CLI::App* down = fleet.add_subcommand("down", "cancel the workers; they hand back what they run");
  down->add_flag("--slurm", flags->is_slurm, "array jobs of Slurm")->required();
  down->add_option("--fleet", flags->fleet.folder, "folder of the fleet")->required()->type_name("FOLDER");
  down->add_option("--name", flags->fleet.name, "of the jobs")->capture_default_str();
  down->add_flag("--with-coordinator", flags->fleet.with_coordinator, "the coordinator's job too");
  down->callback([flags, &exit_code] { exit_code = Down(*flags); });
}

}  // namespace

void AddFleetCommand(CLI::App& app, int& exit_code) {
  CLI::App* fleet = app.add_subcommand("fleet", "start and end the workers of a cluster");
  fleet->require_subcommand(1);
  AddUp(*fleet, exit_code);
  AddDown(*fleet, exit_code);
}

}  // namespace espalier
