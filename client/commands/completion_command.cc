#include <cstdio>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "client/commands/commands.h"
#include "client/commands/job_names.h"
#include "client/exit_codes.h"
#include "client/shell/completion.h"
#include "client/shell/man_page.h"
#include "client/suggest/choices.h"

namespace espalier {
namespace {

constexpr absl::Duration kWhileSomebodyTypes = absl::Seconds(1);

// Whatever goes wrong: no names, and nothing said.
void PrintJobIds(const RemoteFlags& flags) {
  const auto connection = Connect(flags);
  if (!connection.ok()) return;
  const absl::StatusOr<std::vector<v1::Job>> jobs = AllJobs(**connection, kWhileSomebodyTypes);
  if (!jobs.ok()) return;
  for (const v1::Job& job : *jobs) std::printf("%s\n", std::string(absl::StripPrefix(job.name(), "jobs/")).c_str());
}

}  // namespace

void AddCompletionCommand(CLI::App& app, int& exit_code) {
  auto shell = std::make_shared<std::string>();
  CLI::App* command = app.add_subcommand("completion", "print a completion script: source <(espalier completion bash)");
  command->add_option("shell", *shell, "whose script")->required()->check(OneOf({"bash", "zsh"}));
  command->callback([&app, shell, &exit_code] {
    std::printf("%s", (*shell == "bash" ? BashCompletion(app) : ZshCompletion(app)).c_str());
    exit_code = kExitOk;
  });

  auto flags = std::make_shared<RemoteFlags>();
  CLI::App* jobs = app.add_subcommand(kJobNamesCommand, "the jobs' ids, for completion")->group("");
  AddRemoteFlags(*jobs, *flags);
  jobs->callback([flags, &exit_code] {
    PrintJobIds(*flags);
    exit_code = kExitOk;
  });

  CLI::App* manual = app.add_subcommand("man", "print the manual page: espalier man | man -l -");
  manual->callback([&app, &exit_code] {
    std::printf("%s", ManPage(app, ESPALIER_VERSION).c_str());
    exit_code = kExitOk;
  });
}

}  // namespace espalier
