// The model, the device and the tokens of a benchmark, and how fast the device multiplies matrices at best.
#pragma once

#include <torch/types.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "bench/options.h"
#include "worker/model/language_model.h"

namespace espalier::bench {

// Opens the device of the options. kInvalidArgument for an unknown name, kFailedPrecondition when it is not there.
absl::StatusOr<torch::Device> OpenBenchDevice(const Options& options);

torch::ScalarType ComputeFormat(torch::Device device);  // bf16 on a GPU, fp32 on CPU

// From the folder, or random weights of the shape.
absl::StatusOr<std::unique_ptr<LanguageModel>> OpenBenchModel(const Options& options, torch::Device device);

// "GPU", "LibTorch": for the head of a report.
std::vector<std::pair<std::string, std::string>> DescribeMachine(torch::Device device, const Options& options);

// int64 [windows, length] of random ids on the device.
torch::Tensor RandomWindows(int64_t windows, int64_t length, int vocabulary_size, torch::Device device);

// Floating-point operations a second of one large matrix product in the compute format, the best of several tries.
double MeasureMatrixPeak(torch::Device device);
// The same over the second of two seconds of nothing else: what the card's power allows when it goes on.
double MeasureSustainedMatrixRate(torch::Device device);

double SecondsNow();  // a steady clock

// Writes the model as a folder that the engine loads. For shapes with random weights.
absl::Status WriteModelFolder(const LanguageModel& model, const std::string& folder);
// Writes uint32 token ids as a .npy file of `windows` rows.
absl::Status WriteTokenFile(const torch::Tensor& tokens_WL, const std::string& path);

}  // namespace espalier::bench
