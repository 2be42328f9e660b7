#include <cstdio>

#include "absl/strings/str_cat.h"
#include "client/commands/commands.h"
#include "client/exit_codes.h"
#include "client/job_flags.h"
#include "client/render/mask_picture.h"
#include "client/render/output.h"
#include "client/render/table.h"
#include "client/render/terminal.h"
#include "client/result/report_html.h"
#include "client/run/interrupt.h"
#include "client/run/run_job.h"

namespace espalier {
namespace {

struct RunFlags {
  JobFlags job;
  std::string output;
  std::string state;
  int workers = 0;
  std::string format = "table";
};

int Run(const RunFlags& flags) {
  CatchInterrupts();
  RunOptions options;
  const absl::StatusOr<v1::JobSpec> spec = ToSpec(flags.job);
  if (!spec.ok()) return Fail(spec.status());
  options.spec = *spec;
  options.output = flags.output;
  options.state = flags.state;
  options.workers = flags.workers;
  const absl::StatusOr<RunReport> report = RunJob(options);
  if (!report.ok()) return Fail(report.status());
  if (PrintOutput(flags.format, [&report] { return ToJson(*report); }, {flags.output})) return kExitOk;
  std::printf("%s\n%s\n%s\n", MaskPicture(report->units, 80, WantsColours(stdout)).c_str(), FormatTable(ResultTable(*report)).c_str(),
              absl::StrCat("model   ", flags.output, "/model\nresult  ", flags.output, "/result.json\nreport  ",
                           flags.output, "/report.html",
                           report->evaluate_command.empty() ? "" : "\nagain   ", report->evaluate_command)
                  .c_str());
  return kExitOk;
}

}  // namespace

void AddRunCommand(CLI::App& app, int& exit_code) {
  auto flags = std::make_shared<RunFlags>();
  CLI::App* command =
      app.add_subcommand("run", "prune a model on this machine: coordinator, workers and one job, to a result folder");
  AddJobFlags(*command, flags->job);
  command->add_option("--output", flags->output, "folder for model/, result.json and report.html")
      ->required()
      ->type_name("FOLDER");
  command->add_option("--state", flags->state, "folder to continue from later (else a temporary one)")
      ->type_name("FOLDER");
  command->add_option("--workers", flags->workers, "worker processes (one a core on a CPU, one on CUDA)")
      ->check(CLI::Range(1, 1024));
  AddFormatFlag(*command, flags->format);
  command->callback([flags, &exit_code] { exit_code = Run(*flags); });
}

}  // namespace espalier
