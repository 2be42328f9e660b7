#include <cstdio>
#include <ctime>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "client/commands/commands.h"
#include "client/exit_codes.h"
#include "client/render/format.h"
#include "client/render/progress_view.h"
#include "client/result/report_from_job.h"
#include "client/result/report_html.h"
#include "client/run/interrupt.h"
#include "client/service/results.h"
#include "common/base/status_macros.h"

namespace espalier {
namespace {

struct JobCommandFlags {
  RemoteFlags remote;
  std::string job;
};

std::string StateName(const v1::Job& job) { return absl::AsciiStrToLower(v1::Job::State_Name(job.state())); }

std::string TargetText(const v1::JobSpec& spec) {
  if (spec.target().kind_case() == v1::Target::kCount) return FormatCount(static_cast<double>(spec.target().count()));
  return FormatPercent(spec.target().share());
}

std::string ResultLine(const v1::Job& job) {
  if (job.state() == v1::Job::FAILED) return absl::StrCat("failed: ", job.failure());
  return HasEnded(job) ? StateName(job) : ProgressLine(job);
}

void PrintJob(const v1::Job& job) {
  std::vector<std::vector<std::string>> rows = {{"job", job.name()},
                                                {"state", StateName(job)},
                                                {"model", job.spec().model_folder()},
                                                {"target", TargetText(job.spec())},
                                                {"progress", ResultLine(job)}};
  if (!job.spec().display_name().empty()) rows.insert(rows.begin() + 1, {"name", job.spec().display_name()});
  for (const std::string& failed : job.failed_tasks()) rows.push_back({"gave up", failed});
  std::printf("%s", FormatTable(rows).c_str());
  const absl::StatusOr<RunReport> report = ReportFromJob(job);
  if (report.ok()) std::printf("\n%s", FormatTable(ResultTable(*report)).c_str());
}

void Print(const RemoteFlags& flags, const v1::Job& job) {
  if (flags.is_json()) {
    std::printf("%s\n", MessageJson(job).dump(2).c_str());
  } else {
    PrintJob(job);
  }
}

// get, cancel, pause, resume: one call that takes a name and answers with the job.
template <typename Request>
int OneCall(const JobCommandFlags& flags,
            grpc::Status (v1::SearchService::Stub::*method)(grpc::ClientContext*, const Request&, v1::Job*)) {
  const auto connection = Connect(flags.remote);
  if (!connection.ok()) return Fail(connection.status());
  Request request;
  request.set_name(FullJobName(flags.job));
  const absl::StatusOr<v1::Job> job = (*connection)->Call(method, request);
  if (!job.ok()) return Fail(job.status());
  Print(flags.remote, *job);
  return kExitOk;
}

int Delete(const JobCommandFlags& flags) {
  const auto connection = Connect(flags.remote);
  if (!connection.ok()) return Fail(connection.status());
  v1::DeleteJobRequest request;
  request.set_name(FullJobName(flags.job));
  const auto response = (*connection)->Call(&v1::SearchService::Stub::DeleteJob, request);
  if (!response.ok()) return Fail(response.status());
  if (flags.remote.is_json()) {
    std::printf("{\"deleted\": \"%s\"}\n", request.name().c_str());
  } else {
    std::printf("deleted %s\n", request.name().c_str());
  }
  return kExitOk;
}

int Watch(const JobCommandFlags& flags) {
  CatchInterrupts();
  const auto connection = Connect(flags.remote);
  if (!connection.ok()) return Fail(connection.status());
  absl::StatusOr<v1::Job> job = absl::InternalError("not watched");
  {
    ProgressView view(stderr);
    job = FollowJob(
        **connection, FullJobName(flags.job), absl::Seconds(60), [&view](const v1::Job& state) { view.Show(state); },
        [] { return !IsInterrupted(); });
  }
  if (!job.ok()) return Fail(job.status());
  Print(flags.remote, *job);
  return job->state() == v1::Job::SUCCEEDED ? kExitOk : kExitJobFailed;
}

absl::StatusOr<std::vector<v1::Job>> ListAll(Connection& connection) {
  std::vector<v1::Job> jobs;
  v1::ListJobsRequest request;
  do {
    ESPALIER_ASSIGN_OR_RETURN(const v1::ListJobsResponse response,
                              connection.Call(&v1::SearchService::Stub::ListJobs, request));
    jobs.insert(jobs.end(), response.jobs().begin(), response.jobs().end());
    request.set_page_token(response.next_page_token());
  } while (!request.page_token().empty());
  return jobs;
}

int List(const RemoteFlags& flags) {
  const auto connection = Connect(flags);
  if (!connection.ok()) return Fail(connection.status());
  const absl::StatusOr<std::vector<v1::Job>> jobs = ListAll(**connection);
  if (!jobs.ok()) return Fail(jobs.status());
  if (flags.is_json()) {
    nlohmann::ordered_json list = nlohmann::ordered_json::array();
    for (const v1::Job& job : *jobs) list.push_back(MessageJson(job));
    std::printf("%s\n", list.dump(2).c_str());
    return kExitOk;
  }
  std::vector<std::vector<std::string>> rows = {{"job", "state", "created", "target", "name", "progress"}};
  for (const v1::Job& job : *jobs) {
    const std::string created =
        absl::FormatTime("%Y-%m-%d %H:%M", absl::FromUnixSeconds(job.create_time().seconds()), absl::LocalTimeZone());
    rows.push_back(
        {job.name(), StateName(job), created, TargetText(job.spec()), job.spec().display_name(), ResultLine(job)});
  }
  std::printf("%s", FormatTable(rows).c_str());
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
  AddOne(app, "watch", "follow a job until it has ended", exit_code, Watch);
  AddOne(app, "cancel", "end a job without a result", exit_code,
         [](const JobCommandFlags& flags) { return OneCall(flags, &Stub::CancelJob); });
  AddOne(app, "pause", "take a job's running tasks back and grant no more", exit_code,
         [](const JobCommandFlags& flags) { return OneCall(flags, &Stub::PauseJob); });
  AddOne(app, "resume", "go on with a paused job", exit_code,
         [](const JobCommandFlags& flags) { return OneCall(flags, &Stub::ResumeJob); });
  AddOne(app, "delete", "forget a job that has ended", exit_code, Delete);
}

}  // namespace espalier
