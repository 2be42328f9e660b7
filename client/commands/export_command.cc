#include <unistd.h>

#include <array>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "client/commands/commands.h"
#include "client/commands/job_names.h"
#include "client/exit_codes.h"
#include "client/render/output.h"
#include "client/suggest/choices.h"
#include "client/service/model_target.h"
#include "client/service/results.h"
#include "common/base/status_macros.h"
#include "common/checkpoint/gguf_writer.h"
#include "common/checkpoint/runtime_export.h"
#include "common/domain/job.h"

namespace espalier {
namespace {

namespace fs = std::filesystem;

struct ExportFlags {
  RemoteFlags remote;
  std::string source;
  std::string output;
  std::string runtime = "huggingface";
  std::string gguf_type = "auto";
  bool without_tokenizer = false;
};

struct RuntimeFlag {
  const char* name;
  Runtime runtime;
};
constexpr std::array<RuntimeFlag, 4> kRuntimes = {{{"huggingface", Runtime::kHuggingFace},
                                                   {"gguf", Runtime::kGguf},
                                                   {"nemotron-nas", Runtime::kNemotronNas},
                                                   {"vllm-anymodel", Runtime::kVllmAnyModel}}};

std::vector<std::string> RuntimeNames() {
  std::vector<std::string> names;
  for (const RuntimeFlag& flag : kRuntimes) names.push_back(flag.name);
  return names;
}

absl::StatusOr<Runtime> ParseRuntime(const std::string& text) {
  for (const auto& [name, runtime] : kRuntimes) {
    if (text == name) return runtime;
  }
  return absl::InvalidArgumentError(absl::StrCat("--runtime: ", NotOneOf(text, RuntimeNames())));
}

void PrintWritten(const ExportFlags& flags, const checkpoint::ModelFolder& model) {
  const nlohmann::ordered_json json = {{"output", flags.output},
                                       {"parameters", CountParameters(model.config())},
                                       {"runtime", flags.runtime}};
  if (!PrintOutput(flags.remote.format, [&json] { return json; }, {flags.output})) {
    std::printf("%s  %s  %lld parameters\n", flags.runtime.c_str(), flags.output.c_str(),
                static_cast<long long>(CountParameters(model.config())));
  }
}

// A model folder in the format of the runtime.
absl::Status Convert(const std::string& folder, Runtime runtime, const ExportFlags& flags) {
  ESPALIER_ASSIGN_OR_RETURN(const auto model, checkpoint::ModelFolder::Open(folder));
  if (runtime == Runtime::kGguf) {
    checkpoint::GgufOptions options;
    ESPALIER_ASSIGN_OR_RETURN(options.type, checkpoint::ParseGgufType(flags.gguf_type));
    options.without_tokenizer = flags.without_tokenizer;
    ESPALIER_RETURN_IF_ERROR(checkpoint::WriteGguf(*model, options, flags.output));
  } else {
    ESPALIER_RETURN_IF_ERROR(CheckApart(flags.output, folder));
    std::error_code error;
    if (fs::exists(flags.output, error) && !fs::is_empty(flags.output, error)) {
      return absl::AlreadyExistsError(
          absl::StrCat("--output: '", flags.output, "' holds something already; name a new folder"));
    }
    const auto files = runtime == Runtime::kNemotronNas    ? checkpoint::MakeNemotronNasExport(*model)
                       : runtime == Runtime::kVllmAnyModel ? checkpoint::MakeAnyModelExport(*model)
                                                           : checkpoint::MakeHuggingFaceExport(*model);
    if (!files.ok()) return files.status();
    ESPALIER_RETURN_IF_ERROR(checkpoint::WriteExport(flags.output, *files));
  }
  PrintWritten(flags, *model);
  return absl::OkStatus();
}

absl::StatusOr<RunReport> Fetch(const ExportFlags& flags, const std::string& output) {
  ESPALIER_ASSIGN_OR_RETURN(const auto connection, Connect(flags.remote));
  v1::GetJobRequest request;
  request.set_name(FullJobName(flags.source));
  const absl::StatusOr<v1::Job> found = connection->Call(&v1::SearchService::Stub::GetJob, request);
  if (!found.ok()) return WithNearestJob(*connection, request.name(), found.status());
  const v1::Job& job = *found;
  if (job.state() != v1::Job::SUCCEEDED) {
    return absl::FailedPreconditionError(absl::StrCat(job.name(), " is ", v1::Job::State_Name(job.state()),
                                                      "; only a job that SUCCEEDED has something to export"));
  }
  const v1::JobSpec& spec = job.spec();
  ESPALIER_RETURN_IF_ERROR(CheckModelTarget((fs::path(output) / "model").string(), spec.model_folder(),
                                            {spec.tokens_path(), spec.evaluation_path()}));
  return WriteResults(*connection, job, output);
}

// What `run` writes: model/, result.json, report.html.
absl::Status FetchAll(const ExportFlags& flags) {
  ESPALIER_ASSIGN_OR_RETURN(const RunReport report, Fetch(flags, flags.output));
  if (!PrintOutput(flags.remote.format, [&report] { return ToJson(report); }, {flags.output})) {
    std::printf("model   %s/model\nresult  %s/result.json\nreport  %s/report.html\n", flags.output.c_str(),
                flags.output.c_str(), flags.output.c_str());
  }
  return absl::OkStatus();
}

// The job's model, fetched beside the output and converted.
absl::Status FetchAndConvert(Runtime runtime, const ExportFlags& flags) {
  const std::string fetched = absl::StrCat(fs::path(flags.output).lexically_normal().string(), ".fetched-", ::getpid());
  absl::Status status = Fetch(flags, fetched).status();
  if (status.ok()) status = Convert(fetched + "/model", runtime, flags);
  std::error_code ignored;
  fs::remove_all(fetched, ignored);
  return status;
}

// A folder is meant where one is, or where the text cannot be a job's name.
bool IsFolder(const std::string& source) {
  std::error_code error;
  if (fs::is_directory(source, error)) return true;
  return absl::StrContains(source, '/') && !absl::StartsWith(source, "jobs/");
}

// A GGUF is a file: its folder has to be there or to be made.
absl::Status CheckTarget(Runtime runtime, const std::string& output) {
  if (runtime != Runtime::kGguf) return CheckOutput(output);
  std::error_code error;
  if (fs::is_directory(output, error))
    return absl::InvalidArgumentError(
        absl::StrCat("--output: '", output, "' is a folder; name a file, such as ", output, "/model.gguf"));
  const fs::path parent = fs::absolute(output, error).parent_path();
  ESPALIER_RETURN_IF_ERROR(CheckGgufTarget(output));
  ESPALIER_RETURN_IF_ERROR(CheckOutput(parent.string()));
  fs::create_directories(parent, error);
  return absl::OkStatus();
}

absl::Status Export(const ExportFlags& flags) {
  ESPALIER_ASSIGN_OR_RETURN(const Runtime runtime, ParseRuntime(flags.runtime));
  ESPALIER_RETURN_IF_ERROR(CheckTarget(runtime, flags.output));
  if (IsFolder(flags.source)) return Convert(flags.source, runtime, flags);
  return runtime == Runtime::kHuggingFace ? FetchAll(flags) : FetchAndConvert(runtime, flags);
}

}  // namespace

void AddExportCommand(CLI::App& app, int& exit_code) {
  auto flags = std::make_shared<ExportFlags>();
  CLI::App* command = app.add_subcommand(
      "export", "fetch what a finished job made (model/, result.json, report.html), or write it for another runtime");
  command->add_option("source", flags->source, "the job's name (jobs/NAME or NAME), or a model FOLDER")->required();
  command->add_option("--output", flags->output, "folder to write; with --runtime gguf a file")->required();
  command
      ->add_option("--runtime", flags->runtime,
                   "gguf is for llama.cpp, nemotron-nas for vLLM, SGLang and TensorRT-LLM, vllm-anymodel for a fork")
      ->check(KnownValues(RuntimeNames()))
      ->capture_default_str();
  command->add_option("--gguf-type", flags->gguf_type, "numbers of a GGUF; auto: as stored")
      ->check(KnownValues({"auto", "f32", "f16", "bf16", "q8_0"}))
      ->capture_default_str();
  command->add_flag("--without-tokenizer", flags->without_tokenizer, "a GGUF that takes and gives token ids only");
  AddRemoteFlags(*command, flags->remote);
  command->callback([flags, &exit_code] {
    const absl::Status status = Export(*flags);
    exit_code = status.ok() ? kExitOk : Fail(status);
  });
}

}  // namespace espalier
