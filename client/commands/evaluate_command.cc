#include <unistd.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "client/commands/commands.h"
#include "client/exit_codes.h"
#include "client/job_flags.h"
#include "client/process/child_process.h"
#include "client/render/format.h"
#include "client/render/output.h"
#include "client/run/interrupt.h"
#include "common/base/status_macros.h"

namespace espalier {
namespace {

struct EvaluateFlags {
  std::string model;
  std::string tokens;
  std::string evaluate_tokens;
  std::string device = "cpu";
  std::string format = "table";
  int sequence_length = 0;
};

absl::StatusOr<ChildCommand> CommandOf(const EvaluateFlags& flags) {
  ChildCommand command;
  ESPALIER_ASSIGN_OR_RETURN(command.program, FindSiblingProgram("espalier-worker", "ESPALIER_WORKER"));
  command.arguments = {"evaluate",          flags.model,
                       "--tokens",          flags.tokens,
                       "--device",          flags.device,
                       "--sequence-length", absl::StrCat(flags.sequence_length),
                       "--threads",         absl::StrCat(::sysconf(_SC_NPROCESSORS_ONLN))};
  if (flags.evaluate_tokens.empty()) return command;
  ESPALIER_ASSIGN_OR_RETURN(const int64_t tokens, ParseCount("--evaluate-tokens", flags.evaluate_tokens));
  ESPALIER_ASSIGN_OR_RETURN(const int64_t windows,
                            WindowsFor(tokens, flags.sequence_length, flags.tokens, flags.model));
  command.arguments.insert(command.arguments.end(), {"--windows", absl::StrCat(windows)});
  return command;
}

int Evaluate(const EvaluateFlags& flags) {
  CatchInterrupts();
  const absl::StatusOr<ChildCommand> command = CommandOf(flags);
  if (!command.ok()) return Fail(command.status());
  const absl::StatusOr<CapturedRun> run = RunAndCapture(*command, [] { return !IsInterrupted(); });
  if (!run.ok()) return Fail(run.status());
  if (run->status.signal != 0)
    return Fail(absl::InternalError(absl::StrCat("espalier-worker ended by ", ToText(run->status))));
  if (run->status.code != 0) return run->status.code;  // it has said why
  if (flags.format == "json") {
    std::printf("%s", run->output.c_str());
    return kExitOk;
  }
  const nlohmann::ordered_json json = nlohmann::ordered_json::parse(run->output, nullptr, false);
  if (!json.is_object()) return Fail(absl::InternalError("espalier-worker printed no JSON"));
  if (PrintOutput(flags.format, [&json] { return json; }, {flags.model})) return kExitOk;
  std::printf("perplexity %.4f\n%d windows of %d tokens, %s parameters, %s\n", json.value("perplexity", 0.0),
              json.value("windows", 0), json.value("sequence_length", 0),
              FormatCount(json.value("parameters", 0.0)).c_str(), FormatSeconds(json.value("seconds", 0.0)).c_str());
  return kExitOk;
}

}  // namespace

void AddEvaluateCommand(CLI::App& app, int& exit_code) {
  auto flags = std::make_shared<EvaluateFlags>();
  CLI::App* command = app.add_subcommand("evaluate", "perplexity of a model folder: a dense checkpoint or an export");
  command->add_option("model", flags->model, "model folder")->required();
  command->add_option("--tokens", flags->tokens, ".npy file of token ids")->required()->type_name("FILE");
  command->add_option("--evaluate-tokens", flags->evaluate_tokens,
                      "tokens to use, in whole windows (128 windows; 0: all)");
  command->add_option("--sequence-length", flags->sequence_length,
                      "tokens of a window (from the token file or the model)");
  command->add_option("--device", flags->device, "cpu, cuda or cuda:INDEX")->capture_default_str();
  AddFormatFlag(*command, flags->format);
  command->callback([flags, &exit_code] { exit_code = Evaluate(*flags); });
}

}  // namespace espalier
