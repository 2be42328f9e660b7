#include <cstdio>
#include <filesystem>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "client/commands/commands.h"
#include "client/exit_codes.h"
#include "client/process/child_process.h"
#include "client/process/python.h"
#include "client/render/mask_picture.h"
#include "client/render/output.h"
#include "client/render/table.h"
#include "client/render/terminal.h"
#include "client/result/report_html.h"
#include "client/run/interrupt.h"
#include "client/run/run_job.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/wire/job_file.h"

namespace espalier {
namespace {

namespace fs = std::filesystem;

struct DemoFlags {
  std::string output = "out/demo";
  std::string examples;
  int workers = 0;
  std::string format = "table";
};

// The examples lie in the source tree or beside an installed program: <folder of the program or a parent>/examples.
absl::StatusOr<fs::path> FindExamples(const std::string& given) {
  std::error_code error;
  if (!given.empty()) {
    if (fs::exists(fs::path(given) / "tiny" / "config.json", error)) return fs::absolute(given, error);
    return absl::NotFoundError(absl::StrCat("--examples: '", given, "' has no tiny/config.json"));
  }
  fs::path folder = fs::read_symlink("/proc/self/exe", error).parent_path();
  for (int up = 0; up < 4; ++up, folder = folder.parent_path()) {
    for (const fs::path& candidate : {folder / "examples", folder / "share" / "espalier" / "examples"}) {
      if (fs::exists(candidate / "tiny" / "config.json", error)) return candidate;
    }
  }
  return absl::NotFoundError("the bundled examples are not beside this program; name them with --examples FOLDER");
}

// A job that shows every part of the way within a minute or so on two cores.
constexpr char kDemoJob[] = R"(
display_name: "demo"
evaluation_windows: 32
sequence_length: 256
target { share: 0.6 }
ladder { head_granularity: HEAD attention_levels: 4 ffn_levels: 7 }
seed: 7
calibration_tokens: 16384
additive_score_tokens: 2048
phases {
  name: "demo" generations: 3 offspring: 8 redraw_every: 4 same_kind_weight: 1 cross_kind_weight: 1
  stages { survivors: 2 train_tokens: 0 score_tokens: 2048 }
  stages { survivors: 1 train_tokens: 4096 score_tokens: 4096 }
  train { loss: KL learning_rate: 5e-4 }
}
play_off { tokens: 4096 tokens_per_step: 1024 }
play_off_score_tokens: 8192
report_score_tokens: 4096
recovery {
  tokens: 24576 tokens_per_step: 1024
  train { loss: KL learning_rate: 1e-3 warmup_steps: 5 cosine_to: 0.1 }
}
)";

absl::StatusOr<v1::JobSpec> DemoSpec(const fs::path& examples) {
  ESPALIER_ASSIGN_OR_RETURN(v1::JobSpec spec, wire::ParseJobFile(kDemoJob, "the demo's job"));
  spec.set_model_folder((examples / "tiny").string());
  spec.set_tokens_path((examples / "tiny-samples.npy").string());
  return spec;
}

// A machine may have no Python, an unpacked archive for instance: then the way to it is shown. One that is there has to
// load the export, else the demo has failed.
absl::Status ShowSentence(const fs::path& examples, const std::string& model) {
  const std::string script = (examples / "generate.py").string();
  const absl::StatusOr<std::string> python = FindPython();
  if (!python.ok()) {
    std::printf("No sentence by the pruned model: no Python is known here. python3 %s %s shows one (needs torch and "
                "transformers)\n\n",
                script.c_str(), model.c_str());
    return absl::OkStatus();
  }
  std::fprintf(stderr, "loading the pruned model in transformers ...\n");
  const absl::StatusOr<CapturedRun> run =
      RunAndCapture({.program = *python, .arguments = {script, model}, .environment = {}, .log_path = ""},
                    [] { return !IsInterrupted(); });
  if (!run.ok() || !run->status.ok()) {
    return absl::FailedPreconditionError(absl::StrCat(
        "transformers could not load the pruned model '", model, "': ",
        run.ok() ? absl::StrCat(*python, " ", script, " ended with ", ToText(run->status))
                 : ToString(run.status().message()),
        "; set ESPALIER_PYTHON to a python3 with torch and transformers"));
  }
  std::printf("The pruned model in transformers:\n  %s\n\n",
              std::string(absl::StripAsciiWhitespace(run->output)).c_str());
  return absl::OkStatus();
}

int Demo(const DemoFlags& flags) {
  CatchInterrupts();
  const absl::StatusOr<fs::path> examples = FindExamples(flags.examples);
  if (!examples.ok()) return Fail(examples.status());
  std::fprintf(stderr,
               "Pruning %s to 60%% of its parameters: level bank, additive start, a short search, recovery, export.\n",
               (*examples / "tiny").c_str());
  RunOptions options;
  const absl::StatusOr<v1::JobSpec> spec = DemoSpec(*examples);
  if (!spec.ok()) return Fail(spec.status());
  options.spec = *spec;
  options.output = flags.output;
  options.workers = flags.workers;
  const absl::StatusOr<RunReport> report = RunJob(options);
  if (!report.ok()) return Fail(report.status());
  if (PrintOutput(flags.format, [&report] { return ToJson(*report); }, {flags.output})) return kExitOk;
  std::printf("\nWhat is left of each layer (heads of %d, neurons of %d):\n\n%s\n", report->units[0].size,
              report->units[1].size, MaskPicture(report->units, 80, WantsColours(stdout)).c_str());
  std::printf("%s\n", FormatTable(ResultTable(*report)).c_str());
  if (!report->chosen_because.empty()) std::printf("Why this mask: %s\n\n", report->chosen_because.c_str());
  std::fflush(stdout);
  const absl::Status sentence = ShowSentence(*examples, flags.output + "/model");
  if (IsInterrupted()) return Fail(absl::CancelledError("interrupted"));
  std::error_code error;
  std::printf("Report: %s\n", fs::absolute(flags.output + "/report.html", error).lexically_normal().c_str());
  return sentence.ok() ? kExitOk : Fail(sentence);
}

}  // namespace

void AddDemoCommand(CLI::App& app, int& exit_code) {
  auto flags = std::make_shared<DemoFlags>();
  CLI::App* command = app.add_subcommand("demo", "prune the bundled tiny model on this machine and show the result");
  command->add_option("--output", flags->output, "result folder")->capture_default_str()->type_name("FOLDER");
  command->add_option("--examples", flags->examples,
                      "folder with tiny/ and tiny-samples.npy (else found beside this program)");
  command->add_option("--workers", flags->workers, "worker processes (one a core)")->check(CLI::Range(1, 1024));
  AddFormatFlag(*command, flags->format);
  command->callback([flags, &exit_code] { exit_code = Demo(*flags); });
}

}  // namespace espalier
