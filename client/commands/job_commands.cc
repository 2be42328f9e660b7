#include <cstdio>

#include "absl/time/time.h"
#include "client/commands/commands.h"
#include "client/commands/job_names.h"
#include "client/commands/print_job.h"
#include "client/exit_codes.h"
#include "client/render/output.h"
#include "client/render/table.h"
#include "client/result/report_from_job.h"

namespace espalier {
namespace {

struct JobCommandFlags {
  RemoteFlags remote;
  std::string job;
};

// get, cancel, pause, resume: one call that takes a name and answers with the job.
template <typename Request>
int OneCall(const JobCommandFlags& flags,
            grpc::Status (v1::SearchService::Stub::*method)(grpc::ClientContext*, const Request&, v1::Job*)) {
  const auto connection = Connect(flags.remote);
  if (!connection.ok()) return Fail(connection.status());
  Request request;
  request.set_name(FullJobName(flags.job));
  const absl::StatusOr<v1::Job> job = (*connection)->Call(method, request);
  if (!job.ok()) return Fail(WithNearestJob(**connection, FullJobName(flags.job), job.status()));
  PrintJobAs(flags.remote.format, *job);
  return kExitOk;
}

int Delete(const JobCommandFlags& flags) {
  const auto connection = Connect(flags.remote);
  if (!connection.ok()) return Fail(connection.status());
  v1::DeleteJobRequest request;
  request.set_name(FullJobName(flags.job));
  const auto response = (*connection)->Call(&v1::SearchService::Stub::DeleteJob, request);
  if (!response.ok()) return Fail(WithNearestJob(**connection, request.name(), response.status()));
  if (flags.remote.format == "json") {
    std::printf("{\"deleted\": \"%s\"}\n", request.name().c_str());
  } else if (!PrintOutput(flags.remote.format, [&] { return nlohmann::ordered_json{{"deleted", request.name()}}; },
                          {request.name()})) {
    std::printf("deleted %s\n", request.name().c_str());
  }
  return kExitOk;
}

int List(const RemoteFlags& flags) {
  const auto connection = Connect(flags);
  if (!connection.ok()) return Fail(connection.status());
  const absl::StatusOr<std::vector<v1::Job>> jobs = AllJobs(**connection, absl::Seconds(30));
  if (!jobs.ok()) return Fail(jobs.status());
  std::vector<std::string> names;
  for (const v1::Job& job : *jobs) names.push_back(job.name());
  const auto json = [&jobs] {
    nlohmann::ordered_json list = nlohmann::ordered_json::array();
    for (const v1::Job& job : *jobs) list.push_back(MessageJson(job));
    return list;
  };
  if (PrintOutput(flags.format, json, names)) return kExitOk;
  std::vector<std::vector<std::string>> rows = {{"job", "state", "created", "target", "name", "progress"}};
  for (const v1::Job& job : *jobs) {
    const std::string created =
        absl::FormatTime("%Y-%m-%d %H:%M", absl::FromUnixSeconds(job.create_time().seconds()), absl::LocalTimeZone());
    rows.push_back(
        {job.name(), JobStateName(job), created, JobTargetText(job.spec()), job.spec().display_name(), JobResultLine(job)});
  }
  PrintTable(rows);
  return kExitOk;
}

void AddOne(CLI::App& app, const char* name, const char* help, int& exit_code, int (*run)(const JobCommandFlags&)) {
  auto flags = std::make_shared<JobCommandFlags>();
  CLI::App* command = app.add_subcommand(name, help);
  command->add_option("job", flags->job, "the job's name, jobs/NAME or NAME")->required();
  AddRemoteFlags(*command, flags->remote);
  command->callback([flags, run, &exit_code] { exit_code = run(*flags); });
}

}  // namespace

void AddJobCommands(CLI::App& app, int& exit_code) {
  using Stub = v1::SearchService::Stub;
  AddOne(app, "get", "show a job", exit_code,
         [](const JobCommandFlags& flags) { return OneCall(flags, &Stub::GetJob); });
  auto list_flags = std::make_shared<RemoteFlags>();
  CLI::App* list = app.add_subcommand("list", "list the jobs, newest first");
  AddRemoteFlags(*list, *list_flags);
  list->callback([list_flags, &exit_code] { exit_code = List(*list_flags); });
  AddOne(app, "cancel", "end a job without a result", exit_code,
         [](const JobCommandFlags& flags) { return OneCall(flags, &Stub::CancelJob); });
  AddOne(app, "pause", "take a job's running tasks back and grant no more", exit_code,
         [](const JobCommandFlags& flags) { return OneCall(flags, &Stub::PauseJob); });
  AddOne(app, "resume", "go on with a paused job", exit_code,
         [](const JobCommandFlags& flags) { return OneCall(flags, &Stub::ResumeJob); });
  AddOne(app, "delete", "forget a job that has ended", exit_code, Delete);
}

}  // namespace espalier
