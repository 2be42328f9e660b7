// espalier: the command line.
#include <CLI/CLI.hpp>

#include <stdlib.h>

#include <cstdio>
#include <exception>

#include "client/commands/commands.h"
#include "client/commands/tokens_command.h"
#include "client/exit_codes.h"
#include "client/suggest/usage_error.h"

int main(int argc, char** argv) {
  // Without a call under way gRPC looks at a connection that is being made only this often (5 s by default). Set here, while
  // there is one thread: another that starts a program reads the environment.
  ::setenv("GRPC_CLIENT_CHANNEL_BACKUP_POLL_INTERVAL_MS", "100", 0);
  CLI::App app(
      "Searches for smaller language models: evolutionary pruning of a dense checkpoint to a size, by a fleet or on "
      "this machine.",
      "espalier");
  app.set_version_flag("--version", "espalier " ESPALIER_VERSION);
  app.require_subcommand(1);
  app.footer(espalier::kExitCodesHelp);
  app.fallthrough(false);
  int exit_code = espalier::kExitOk;
  espalier::AddDemoCommand(app, exit_code);
  espalier::AddRunCommand(app, exit_code);
  espalier::AddSubmitCommand(app, exit_code);
  espalier::AddJobCommands(app, exit_code);
  espalier::AddWatchCommand(app, exit_code);
  espalier::AddListingCommands(app, exit_code);
  espalier::AddBackupCommand(app, exit_code);
  espalier::AddExportCommand(app, exit_code);
  espalier::AddEvaluateCommand(app, exit_code);
  espalier::AddExplainCommand(app, exit_code);
  espalier::AddInspectCommand(app, exit_code);
  espalier::AddDoctorCommand(app, exit_code);
  espalier::AddFleetCommand(app, exit_code);
  espalier::AddTokensCommand(app, exit_code);
  espalier::AddCompletionCommand(app, exit_code);
  for (CLI::App* command : app.get_subcommands([](CLI::App*) { return true; }))
    command->footer(espalier::kExitCodesHelp);
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& asked_for_help) {
    return app.exit(asked_for_help);
  } catch (const CLI::ParseError& error) {
    const std::string message = espalier::UsageMessage(app, {argv + 1, argv + argc}, error);
    std::fprintf(stderr, "espalier: %s%s\n", message.c_str(), message.ends_with('?') ? "" : "; see --help");
    return espalier::kExitUsage;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "espalier: internal error: %s\n", error.what());
    return espalier::kExitInternal;
  }
  return exit_code;
}
