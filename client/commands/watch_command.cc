#include <cstdio>

#include "client/commands/commands.h"
#include "client/commands/job_names.h"
#include "client/commands/print_job.h"
#include "client/exit_codes.h"
#include "client/render/progress_view.h"
#include "client/render/terminal.h"
#include "client/run/interrupt.h"
#include "client/watch/follower.h"

namespace espalier {
namespace {

struct WatchFlags {
  RemoteFlags remote;
  std::string job;
};

absl::StatusOr<v1::Job> WatchLines(Connection& connection, const std::string& name) {
  ProgressView view(stderr);
  return FollowJob(
      connection, name, absl::Seconds(60), [&view](const v1::Job& state) { view.Show(state); },
      [] { return !IsInterrupted(); });
}

int Watch(const WatchFlags& flags) {
  CatchInterrupts();
  const auto connection = Connect(flags.remote);
  if (!connection.ok()) return Fail(connection.status());
  if (flags.job.empty()) {
    const absl::Status status = WatchAll(**connection, stderr);
    return status.ok() ? kExitOk : Fail(status);
  }
  const std::string name = FullJobName(flags.job);
  const absl::StatusOr<v1::Job> job =
      IsTerminal(stderr) ? WatchOnScreen(**connection, name, stderr) : WatchLines(**connection, name);
  if (!job.ok()) return Fail(WithNearestJob(**connection, name, job.status()));
  PrintJobAs(flags.remote.format, *job);
  return job->state() == v1::Job::SUCCEEDED ? kExitOk : kExitJobFailed;
}

}  // namespace

void AddWatchCommand(CLI::App& app, int& exit_code) {
  auto flags = std::make_shared<WatchFlags>();
  CLI::App* command = app.add_subcommand("watch", "follow a job until it has ended, or all that are active");
  command->add_option("job", flags->job, "the job's name, jobs/NAME or NAME; without one: all jobs");
  AddRemoteFlags(*command, flags->remote);
  command->callback([flags, &exit_code] { exit_code = Watch(*flags); });
}

}  // namespace espalier
