#include "worker/engine/one_shot.h"

#include <filesystem>
#include <system_error>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/artifacts/artifact_store.h"
#include "common/base/files.h"
#include "common/base/status_macros.h"
#include "common/checkpoint/model_folder.h"
#include "common/checkpoint/token_file.h"
#include "common/checkpoint/token_sidecar.h"
#include "common/domain/evaluation_windows.h"
#include "common/domain/sequence_length.h"
#include "worker/engine/perplexity.h"
#include "worker/engine/progress.h"
#include "worker/model/device_runtime.h"

namespace espalier {
namespace {

// The length asked for, or the one that the file and the model suggest; checked against the model.
absl::StatusOr<int> SequenceLengthOf(const EvaluateFolderRequest& request, const ModelConfig& config) {
  ESPALIER_ASSIGN_OR_RETURN(const auto file, checkpoint::TokenFile::Open(request.tokens_path, 0));
  const int length = ResolveSequenceLength(request.sequence_length, file->row_length(), config.max_positions);
  ESPALIER_RETURN_IF_ERROR(CheckSequenceLength(config, length));
  return length;
}

absl::StatusOr<EvaluateFolderResult> EvaluateOn(torch::Device device, const EvaluateFolderRequest& request,
                                                const ProgressFunction& report, std::stop_token stop) {
  const Stopwatch stopwatch;
  ProgressReporter progress(report, std::move(stop));
  progress.Begin("load", 0);
  ESPALIER_ASSIGN_OR_RETURN(const auto folder, checkpoint::ModelFolder::Open(request.model_folder));
  ESPALIER_RETURN_IF_ERROR(checkpoint::CheckTokenizer(request.tokens_path, request.model_folder));
  EvaluateFolderResult result;
  ESPALIER_ASSIGN_OR_RETURN(result.sequence_length, SequenceLengthOf(request, folder->config()));
  TokenCache cache(device);
  ESPALIER_ASSIGN_OR_RETURN(
      const auto tokens, cache.Get(request.tokens_path, "", result.sequence_length, folder->config().vocabulary_size));
  ESPALIER_ASSIGN_OR_RETURN(const std::vector<int64_t> windows,
                            EvaluationWindows(tokens->num_tokens, result.sequence_length, request.windows));
  const torch::ScalarType dtype = device.is_cuda() ? torch::kBFloat16 : torch::kFloat32;
  ESPALIER_ASSIGN_OR_RETURN(const auto model, LoadLanguageModel(*folder, device, dtype));
  ESPALIER_RETURN_IF_ERROR(progress.CheckStop());

  progress.Begin("score", static_cast<int64_t>(windows.size()) * result.sequence_length);
  const ScoreProgress score_progress = [&](int64_t done, int64_t) {
    progress.Update(done, 0);
    return !progress.stop_requested();
  };
  ESPALIER_ASSIGN_OR_RETURN(const ScoreResult score, LossOverWindows(*model, *tokens, windows, score_progress));
  result.perplexity = score.Perplexity();
  result.loss = score.MeanNll();
  result.tokens = score.tokens;
  result.windows = static_cast<int64_t>(windows.size());
  result.parameters = CountParameters(model->config);
  result.seconds = stopwatch.Seconds();
  return result;
}

}  // namespace

absl::StatusOr<EvaluateFolderResult> EvaluateFolder(const EvaluateFolderRequest& request,
                                                    const ProgressFunction& progress, std::stop_token stop) {
  if (request.threads < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("the number of threads is ", request.threads, "; at least 1 is needed"));
  }
  InitTorch();
  torch::Device device = torch::kCPU;
  try {
    ESPALIER_ASSIGN_OR_RETURN(device, OpenDevice(request.device, request.device_index));
    UseDevice(device);
    SetComputeThreads(request.threads);
    return EvaluateOn(device, request, progress, std::move(stop));
  } catch (...) {
    return StatusOfCurrentException(device);
  }
}

absl::Status WriteExportedFiles(const std::string& artifact_folder, const std::vector<ExportedFile>& files,
                                const std::string& output_folder) {
  std::error_code error;
  if (std::filesystem::exists(output_folder, error) && !std::filesystem::is_empty(output_folder, error)) {
    return absl::AlreadyExistsError(absl::StrCat("'", output_folder, "' exists and is not empty; name another folder"));
  }
  ESPALIER_ASSIGN_OR_RETURN(const auto store, OpenFolderArtifactStore(artifact_folder));
  ESPALIER_RETURN_IF_ERROR(CreateFolders(output_folder));
  for (const ExportedFile& file : files) {
    ESPALIER_ASSIGN_OR_RETURN(const std::string content, store->Get(file.digest));
    ESPALIER_RETURN_IF_ERROR(WriteFileAtomically(output_folder + "/" + file.name, content));
  }
  return absl::OkStatus();
}

absl::StatusOr<FinishOutcome> ExportMask(const ExportMaskRequest& request, const ProgressFunction& progress,
                                         std::stop_token stop) {
  ESPALIER_ASSIGN_OR_RETURN(const std::unique_ptr<Engine> engine, MakeTorchEngine(request.engine));
  FinishTask finish;
  finish.bank = request.bank;
  finish.mask = request.mask;
  finish.provenance_json = request.provenance_json;
  Task task;
  task.job_id = "export";
  task.task_id = "finish";
  task.context = request.context;
  task.payload = std::move(finish);
  ESPALIER_ASSIGN_OR_RETURN(TaskOutcome outcome, engine->Run(task, progress, std::move(stop)));
  FinishOutcome& finished = std::get<FinishOutcome>(outcome);
  ESPALIER_RETURN_IF_ERROR(WriteExportedFiles(request.engine.artifact_folder, finished.files, request.output_folder));
  return std::move(finished);
}

}  // namespace espalier
