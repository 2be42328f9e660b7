#include "client/fleet/slurm_fleet.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "client/fleet/slurm_scripts.h"
#include "client/process/child_process.h"
#include "client/run/interrupt.h"
#include "common/base/files.h"
#include "common/base/shell_word.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"

namespace espalier {
namespace {

namespace fs = std::filesystem;

constexpr int kMostWorkers = 10000;

bool IsPlain(const std::string& text, const char* further) {
  return text.find_first_not_of(absl::StrCat("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-",
                                             further)) == std::string::npos;
}

absl::Status CheckPath(const char* flag, const std::string& path) {
  if (path.empty() || (path.front() == '/' && std::none_of(path.begin(), path.end(), absl::ascii_iscntrl)))
    return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(flag, ": '", path, "' must be an absolute path without control characters: jobs start elsewhere"));
}

absl::StatusOr<std::string> FindOnPath(const std::string& name) {
  const char* path = std::getenv("PATH");
  for (const absl::string_view folder : absl::StrSplit(path == nullptr ? "" : path, ':', absl::SkipEmpty())) {
    const std::string program = absl::StrCat(folder, "/", name);
    if (::access(program.c_str(), X_OK) == 0) return program;
  }
  return absl::NotFoundError(absl::StrCat("there is no ", name, " along PATH: is this a login node of a Slurm cluster?"));
}

// What a Slurm command printed. Its own complaints go to standard error as they are.
absl::StatusOr<std::string> Slurm(const std::string& name, std::vector<std::string> arguments) {
  ChildCommand command;
  ESPALIER_ASSIGN_OR_RETURN(command.program, FindOnPath(name));
  command.arguments = std::move(arguments);
  ESPALIER_ASSIGN_OR_RETURN(CapturedRun run, RunAndCapture(command, [] { return !IsInterrupted(); }));
  if (!run.status.ok())
    return absl::AbortedError(absl::StrCat(name, " ended with ", ToText(run.status), "; what it said stands above"));
  absl::StripAsciiWhitespace(&run.output);
  return std::move(run.output);
}

std::string CoordinatorName(const SlurmFleet& fleet) { return fleet.name + "-coordinator"; }

// Array tasks and jobs of this name that are queued or run, each on a line of its own; the ones that are ending do not count.
absl::StatusOr<int> CountJobs(const std::string& name) {
  ESPALIER_ASSIGN_OR_RETURN(const std::string user, Slurm("id", {"-un"}));
  ESPALIER_ASSIGN_OR_RETURN(const std::string lines,
                            Slurm("squeue", {"-h", "-r", "-u", user, "-n", name, "-o", "%i", "-t",
                                             "PENDING,RUNNING,CONFIGURING,SUSPENDED,REQUEUED"}));
  const std::vector<std::string> found = absl::StrSplit(lines, '\n', absl::SkipWhitespace());
  return static_cast<int>(found.size());
}

std::vector<std::string> CommonArguments(const SlurmFleet& fleet, const std::string& name, const std::string& log) {
  std::vector<std::string> arguments = {"--parsable", "--job-name=" + name, "--output=" + fleet.folder + "/logs/" + log};
  if (!fleet.partition.empty()) arguments.push_back("--partition=" + fleet.partition);
  return arguments;
}

absl::Status WriteFolder(const SlurmFleet& fleet, bool* settings_kept) {
  ESPALIER_RETURN_IF_ERROR(CreateFolders(fleet.folder + "/logs"));
  ESPALIER_RETURN_IF_ERROR(WriteFileAtomically(fleet.folder + "/workers.sbatch", kWorkersScript));
  ESPALIER_RETURN_IF_ERROR(WriteFileAtomically(fleet.folder + "/coordinator.sbatch", kCoordinatorScript));
  const std::string settings = fleet.folder + "/settings.sh";
  *settings_kept = ::access(settings.c_str(), F_OK) == 0;
  return *settings_kept ? absl::OkStatus() : WriteFileAtomically(settings, SettingsText(fleet));
}

}  // namespace

absl::Status CheckFleet(const SlurmFleet& fleet) {
  if (fleet.folder.empty()) return absl::InvalidArgumentError("--fleet: name a folder that all nodes see");
  // %: sbatch replaces it in --output.
  if (fleet.folder.find('%') != std::string::npos)
    return absl::InvalidArgumentError(absl::StrCat("--fleet: '", fleet.folder, "' must not contain %"));
  for (const auto& [flag, path] : {std::pair{"--fleet", fleet.folder}, {"--programs", fleet.programs},
                                   {"--token-file", fleet.token_file}, {"--artifacts", fleet.artifacts}}) {
    ESPALIER_RETURN_IF_ERROR(CheckPath(flag, path));
  }
  if (fleet.workers < 0 || fleet.workers > kMostWorkers)
    return absl::InvalidArgumentError(absl::StrCat("--workers: ", fleet.workers, " is not within 0 and ", kMostWorkers));
  if (fleet.name.empty() || !IsPlain(fleet.name, ""))
    return absl::InvalidArgumentError(absl::StrCat("--name: '", fleet.name, "' must be of letters, digits, '_', '.' and '-'"));
  for (const auto& [flag, value] : {std::pair{"--partition", fleet.partition}, {"--time", fleet.time},
                                    {"--coordinator", fleet.coordinator}, {"--device", fleet.device}}) {
    if (!IsPlain(value, ",:[]/"))
      return absl::InvalidArgumentError(absl::StrCat(flag, ": '", value, "' contains a character that it cannot have"));
  }
  return absl::OkStatus();
}

std::string SettingsText(const SlurmFleet& fleet) {
  std::string text = "# Read by workers.sbatch and coordinator.sbatch at their start; yours to edit.\n";
  const auto add = [&text](const char* name, const std::string& value) {
    if (!value.empty()) absl::StrAppend(&text, name, "=", QuotedForShell(value), "\n");
  };
  add("programs", fleet.programs);
  add("coordinator", fleet.coordinator);
  add("token_file", fleet.token_file);
  add("artifacts", fleet.artifacts);
  absl::StrAppend(&text, "worker_flags=(--device ", QuotedForShell(fleet.device), ")\n");
  return text;
}

std::vector<std::string> WorkerArguments(const SlurmFleet& fleet, int count) {
  std::vector<std::string> arguments = CommonArguments(fleet, fleet.name, "worker-%A_%a.log");
  arguments.push_back(absl::StrCat("--array=0-", count - 1));
  if (fleet.gpus > 0) arguments.push_back(absl::StrCat("--gres=gpu:", fleet.gpus));
  if (!fleet.time.empty()) arguments.push_back("--time=" + fleet.time);
  arguments.insert(arguments.end(), fleet.sbatch_flags.begin(), fleet.sbatch_flags.end());
  arguments.insert(arguments.end(), {fleet.folder + "/workers.sbatch", fleet.folder});
  return arguments;
}

absl::StatusOr<FleetUp> BringUp(const SlurmFleet& fleet) {
  ESPALIER_RETURN_IF_ERROR(CheckFleet(fleet));
  ESPALIER_RETURN_IF_ERROR(FindOnPath("sbatch").status());
  FleetUp up;
  ESPALIER_RETURN_IF_ERROR(WriteFolder(fleet, &up.settings_kept));
  if (fleet.with_coordinator) {
    ESPALIER_ASSIGN_OR_RETURN(const int coordinators, CountJobs(CoordinatorName(fleet)));
    if (coordinators == 0) {
      std::vector<std::string> arguments = CommonArguments(fleet, CoordinatorName(fleet), "coordinator-%j.log");
      arguments.insert(arguments.end(), {fleet.folder + "/coordinator.sbatch", fleet.folder});
      ESPALIER_ASSIGN_OR_RETURN(up.coordinator_job, Slurm("sbatch", arguments));
    }
  }
  ESPALIER_ASSIGN_OR_RETURN(up.found, CountJobs(fleet.name));
  up.submitted = std::max(0, fleet.workers - up.found);
  if (up.submitted == 0) return up;
  ESPALIER_ASSIGN_OR_RETURN(up.worker_job, Slurm("sbatch", WorkerArguments(fleet, up.submitted)));
  return up;
}

absl::Status TakeDown(const SlurmFleet& fleet) {
  ESPALIER_RETURN_IF_ERROR(CheckFleet(fleet));
  ESPALIER_ASSIGN_OR_RETURN(const std::string user, Slurm("id", {"-un"}));
  ESPALIER_RETURN_IF_ERROR(Slurm("scancel", {"-u", user, "-n", fleet.name}).status());
  if (!fleet.with_coordinator) return absl::OkStatus();
  return Slurm("scancel", {"-u", user, "-n", CoordinatorName(fleet)}).status();
}

}  // namespace espalier
