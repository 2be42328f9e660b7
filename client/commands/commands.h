// One function for each command: adds it to the program; when it is chosen it runs and sets the exit code.
#pragma once

#include <CLI/CLI.hpp>

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "client/service/connection.h"

namespace espalier {

void AddDemoCommand(CLI::App& app, int& exit_code);
void AddRunCommand(CLI::App& app, int& exit_code);
void AddSubmitCommand(CLI::App& app, int& exit_code);
void AddWatchCommand(CLI::App& app, int& exit_code);
void AddJobCommands(CLI::App& app, int& exit_code);      // get, list, cancel, pause, resume, delete
void AddListingCommands(CLI::App& app, int& exit_code);  // candidates, workers
void AddBackupCommand(CLI::App& app, int& exit_code);
void AddExportCommand(CLI::App& app, int& exit_code);
void AddEvaluateCommand(CLI::App& app, int& exit_code);
void AddInspectCommand(CLI::App& app, int& exit_code);
void AddExplainCommand(CLI::App& app, int& exit_code);
void AddDoctorCommand(CLI::App& app, int& exit_code);
void AddFleetCommand(CLI::App& app, int& exit_code);  // up, down
void AddCompletionCommand(CLI::App& app, int& exit_code);

// --format, for every command that prints: "table" is for people; see client/render/output.h.
void AddFormatFlag(CLI::App& command, std::string& format);

// --coordinator, --token-file, --tls-... and --format, for the commands that talk to a coordinator.
struct RemoteFlags {
  std::string coordinator;
  std::string token_file;
  TlsFiles tls;
  std::string tls_server_name;
  std::string format = "table";
};
void AddRemoteFlags(CLI::App& command, RemoteFlags& flags);
absl::StatusOr<std::unique_ptr<Connection>> Connect(const RemoteFlags& flags);

// "jobs/NAME" for both NAME and jobs/NAME.
std::string FullJobName(const std::string& name);

}  // namespace espalier
