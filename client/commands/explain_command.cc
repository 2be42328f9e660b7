#include <algorithm>
#include <cstdio>
#include <filesystem>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "client/commands/commands.h"
#include "client/commands/job_names.h"
#include "client/exit_codes.h"
#include "client/explain/explanation.h"
#include "client/explain/given_up.h"
#include "client/render/colours.h"
#include "client/render/output.h"
#include "client/render/terminal.h"
#include "client/result/evaluate_command.h"
#include "client/result/read_report.h"
#include "client/result/report_from_job.h"
#include "common/base/status_macros.h"
#include "common/checkpoint/model_folder.h"
#include "common/wire/mask_conversion.h"

namespace espalier {
namespace {

constexpr int kReadableWidth = 100;

struct ExplainFlags {
  RemoteFlags remote;
  std::string source;
};

struct Explained {
  RunReport report;
  GivenUp given_up;
};

absl::StatusOr<Explained> FromFolder(const std::string& folder) {
  Explained explained;
  ESPALIER_ASSIGN_OR_RETURN(explained.report, ReadReport(folder));
  explained.report.evaluate_command = EvaluateCommand(explained.report, folder + "/model");  // where it lies now
  // Without the model folder (moved away, or of another kind) heads and neurons are counted instead of parameters.
  const absl::StatusOr<ModelConfig> pruned = checkpoint::ReadModelConfig(folder + "/model");
  if (pruned.ok()) explained.given_up = ParametersGivenUp(*pruned, explained.report);
  return explained;
}

absl::StatusOr<Explained> FromCoordinator(const ExplainFlags& flags) {
  ESPALIER_ASSIGN_OR_RETURN(const auto connection, Connect(flags.remote));
  v1::GetJobRequest request;
  request.set_name(FullJobName(flags.source));
  const absl::StatusOr<v1::Job> job = connection->Call(&v1::SearchService::Stub::GetJob, request);
  if (!job.ok()) return WithNearestJob(*connection, request.name(), job.status());
  if (job->state() != v1::Job::SUCCEEDED) {
    return absl::FailedPreconditionError(absl::StrCat(job->name(), " is ", v1::Job::State_Name(job->state()),
                                                      "; only a job that SUCCEEDED can be explained (espalier watch ",
                                                      flags.source, " shows where it stands)"));
  }
  Explained explained;
  ESPALIER_ASSIGN_OR_RETURN(explained.report, ReportFromJob(*job));
  const absl::StatusOr<ModelConfig> dense = wire::FromProto(job->inputs().dense());
  if (dense.ok())
    explained.given_up =
        ParametersGivenUp(PrunedAsReported(*dense, explained.report, job->ladder().keep_kv_whole()), explained.report);
  return explained;
}

int ExplainSource(const ExplainFlags& flags) {
  std::error_code error;
  const bool is_folder = std::filesystem::is_directory(flags.source, error) ||
                         (absl::StrContains(flags.source, '/') && !absl::StartsWith(flags.source, "jobs/"));
  const absl::StatusOr<Explained> explained = is_folder ? FromFolder(flags.source) : FromCoordinator(flags);
  if (!explained.ok()) return Fail(explained.status());
  const std::vector<ExplanationPart> parts = Explain(explained->report, explained->given_up);
  if (PrintOutput(flags.remote.format, [&] { return ExplanationJson(flags.source, parts); }, {flags.source}))
    return kExitOk;
  const int terminal = TerminalWidth(stdout);
  const int width = terminal == 0 ? kReadableWidth : std::min(terminal, kReadableWidth);
  std::printf("%s", ExplanationText(parts, width, WantsColours(stdout) ? kBold : nullptr).c_str());
  return kExitOk;
}

}  // namespace

void AddExplainCommand(CLI::App& app, int& exit_code) {
  auto flags = std::make_shared<ExplainFlags>();
  CLI::App* command =
      app.add_subcommand("explain", "say in words what a finished search found: what gave, what was kept, how sure it is");
  command->add_option("job", flags->source, "the job's name (jobs/NAME or NAME), or the FOLDER that its result lies in")
      ->required();
  AddRemoteFlags(*command, flags->remote);
  command->callback([flags, &exit_code] { exit_code = ExplainSource(*flags); });
}

}  // namespace espalier
