// What the worker binary does without a coordinator: the commands that the CLI starts as one-shot processes. No
// LibTorch types here.
#pragma once

#include <cstdint>
#include <stop_token>
#include <string>

#include "absl/status/statusor.h"
#include "common/domain/task.h"
#include "worker/engine/engine.h"

namespace espalier {

struct EvaluateFolderRequest {
  std::string model_folder;  // a dense checkpoint or an export of ours
  std::string tokens_path;   // .npy
  int sequence_length = 0;   // 0: the row length of a two-dimensional file, else min(1024, max_position_embeddings)
  int64_t windows = 128;     // 0: all; see common/domain/evaluation_windows.h
  DeviceKind device = DeviceKind::kCpu;
  int device_index = 0;
  int threads = 1;
};

struct EvaluateFolderResult {
  double perplexity = 0;  // exp of the mean negative log-likelihood
  double loss = 0;        // that mean, in nats per token
  int64_t tokens = 0;     // input tokens read
  int64_t windows = 0;
  int sequence_length = 0;
  int64_t parameters = 0;
  double seconds = 0;  // loading included
};

// The same function that proves exports: weights in fp32 on the CPU, in bf16 on CUDA. kInvalidArgument and
// kFailedPrecondition name the file, tensor or value at fault; kCancelled when stopped.
absl::StatusOr<EvaluateFolderResult> EvaluateFolder(const EvaluateFolderRequest& request,
                                                    const ProgressFunction& progress, std::stop_token stop);

struct ExportMaskRequest {
  EngineOptions engine;
  JobContext context;  // the model, the tokens of the proof and the ladder; empty digests: files as they are
  BankReference bank;
  Mask mask;
  std::string provenance_json;  // copied into the export; may be empty
  std::string output_folder;    // must not exist yet, or be empty
};

// Assembles the mask from the bank's artifacts without training, writes it as a Hugging Face folder and proves it.
absl::StatusOr<FinishOutcome> ExportMask(const ExportMaskRequest& request, const ProgressFunction& progress,
                                         std::stop_token stop);

// Copies an export's files from the artifact store into a folder, each verified. kAlreadyExists when the folder holds
// something.
absl::Status WriteExportedFiles(const std::string& artifact_folder, const std::vector<ExportedFile>& files,
                                const std::string& output_folder);

}  // namespace espalier
