#include <cstdio>

#include "absl/strings/str_cat.h"
#include "client/commands/commands.h"
#include "client/exit_codes.h"
#include "client/service/results.h"

namespace espalier {
namespace {

struct ExportFlags {
  RemoteFlags remote;
  std::string job;
  std::string output;
};

int Export(const ExportFlags& flags) {
  if (const absl::Status status = CheckOutput(flags.output); !status.ok()) return Fail(status);
  const auto connection = Connect(flags.remote);
  if (!connection.ok()) return Fail(connection.status());
  v1::GetJobRequest request;
  request.set_name(FullJobName(flags.job));
  const absl::StatusOr<v1::Job> job = (*connection)->Call(&v1::SearchService::Stub::GetJob, request);
  if (!job.ok()) return Fail(job.status());
  if (job->state() != v1::Job::SUCCEEDED) {
    return Fail(absl::FailedPreconditionError(absl::StrCat(job->name(), " is ", v1::Job::State_Name(job->state()),
                                                           "; only a job that SUCCEEDED has something to export")));
  }
  const absl::StatusOr<RunReport> report = WriteResults(**connection, *job, flags.output);
  if (!report.ok()) return Fail(report.status());
  if (flags.remote.is_json()) {
    std::printf("%s\n", ToJson(*report).dump(2).c_str());
  } else {
    std::printf("model   %s/model\nresult  %s/result.json\nreport  %s/report.html\n", flags.output.c_str(),
                flags.output.c_str(), flags.output.c_str());
  }
  return kExitOk;
}

}  // namespace

void AddExportCommand(CLI::App& app, int& exit_code) {
  auto flags = std::make_shared<ExportFlags>();
  CLI::App* command = app.add_subcommand("export", "fetch what a finished job made: model/, result.json, report.html");
  command->add_option("job", flags->job, "the job's name, jobs/NAME or NAME")->required();
  command->add_option("--output", flags->output, "folder to write")->required()->type_name("FOLDER");
  AddRemoteFlags(*command, flags->remote);
  command->callback([flags, &exit_code] { exit_code = Export(*flags); });
}

}  // namespace espalier
