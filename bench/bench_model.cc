#include "bench/bench_model.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <limits>

#include "absl/strings/str_cat.h"
#include "bench/shapes.h"
#include "common/base/files.h"
#include "common/base/status_macros.h"
#include "common/checkpoint/export_folder.h"
#include "common/checkpoint/model_folder.h"
#include "worker/model/device_runtime.h"
#include "worker/model/random_model.h"

namespace espalier::bench {

absl::StatusOr<torch::Device> OpenBenchDevice(const Options& options) {
  InitTorch();
  if (options.device == "cpu") return OpenDevice(DeviceKind::kCpu, 0);
  if (options.device == "cuda") return OpenDevice(DeviceKind::kCuda, 0);
  return absl::InvalidArgumentError(absl::StrCat("device '", options.device, "' is neither cpu nor cuda"));
}

torch::ScalarType ComputeFormat(torch::Device device) { return device.is_cuda() ? torch::kBFloat16 : torch::kFloat32; }

absl::StatusOr<std::unique_ptr<LanguageModel>> OpenBenchModel(const Options& options, torch::Device device) {
  if (!options.model.empty()) {
    ESPALIER_ASSIGN_OR_RETURN(const auto folder, checkpoint::ModelFolder::Open(options.model));
    return LoadLanguageModel(*folder, device, ComputeFormat(device));
  }
  ESPALIER_ASSIGN_OR_RETURN(const ModelConfig config, NamedShape(options.shape));
  auto model = std::make_unique<LanguageModel>(RandomLanguageModel(config, 1, device, ComputeFormat(device)));
  SetKvIndex(*model);
  return model;
}

std::vector<std::pair<std::string, std::string>> DescribeMachine(torch::Device device, const Options& options) {
  return {{"device", DeviceName(device)},
          {"memory_gib", absl::StrCat(DeviceMemoryBytes(device) >> 30)},
          {"libtorch", TorchVersion()},
          {"model", options.model.empty() ? absl::StrCat(options.shape, " (random weights)") : options.model},
          {"sequence_length", absl::StrCat(options.sequence_length)}};
}

torch::Tensor RandomWindows(int64_t windows, int64_t length, int vocabulary_size, torch::Device device) {
  return at::randint(vocabulary_size, {windows, length}, torch::TensorOptions().dtype(torch::kInt64).device(device));
}

double SecondsNow() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double MeasureMatrixPeak(torch::Device device) {
  const torch::NoGradGuard no_grad;
  const int64_t size = device.is_cuda() ? 8192 : 1024;
  const int repeats = device.is_cuda() ? 20 : 2;
  const auto options = torch::TensorOptions().device(device).dtype(ComputeFormat(device));
  const torch::Tensor a = at::randn({size, size}, options), b = at::randn({size, size}, options);
  torch::Tensor c = at::mm(a, b);
  double best = 0;
  for (int attempt = 0; attempt < 4; ++attempt) {
    SynchronizeDevice(device);
    const double start = SecondsNow();
    for (int i = 0; i < repeats; ++i) at::mm_out(c, a, b);
    SynchronizeDevice(device);
    best = std::max(best, 2.0 * static_cast<double>(size) * static_cast<double>(size) * static_cast<double>(size) *
                              repeats / (SecondsNow() - start));
  }
  return best;
}

double MeasureSustainedMatrixRate(torch::Device device) {
  const torch::NoGradGuard no_grad;
  constexpr int64_t kSize = 8192;
  constexpr int kRepeats = 20;
  const auto options = torch::TensorOptions().device(device).dtype(ComputeFormat(device));
  const torch::Tensor a = at::randn({kSize, kSize}, options), b = at::randn({kSize, kSize}, options);
  torch::Tensor c = at::mm(a, b);
  SynchronizeDevice(device);
  const double start = SecondsNow();
  double counted_from = start;
  int64_t counted = 0;
  while (SecondsNow() < start + 2) {
    if (counted == 0 && SecondsNow() >= start + 1) counted_from = SecondsNow();
    for (int i = 0; i < kRepeats; ++i) at::mm_out(c, a, b);
    SynchronizeDevice(device);
    if (counted_from > start) counted += kRepeats;
  }
  return 2.0 * kSize * kSize * kSize * static_cast<double>(counted) / (SecondsNow() - counted_from);
}

absl::Status WriteModelFolder(const LanguageModel& model, const std::string& folder) {
  checkpoint::ExportInput input;
  input.dense_config_json = LlamaConfigJson(model.config);
  input.dense = input.candidate = model.config;
  std::vector<torch::Tensor> on_host;
  for (const auto& [name, tensor] : NamedTensors(model)) {
    on_host.push_back(tensor.to(torch::kCPU, torch::kBFloat16).contiguous());
    const torch::Tensor& host = on_host.back();
    input.tensors.push_back({name,
                             checkpoint::Dtype::kBFloat16,
                             host.sizes().vec(),
                             {static_cast<const char*>(host.const_data_ptr()), static_cast<size_t>(host.nbytes())}});
  }
  input.dense.number_format = input.candidate.number_format = NumberFormat::kBFloat16;
  ESPALIER_ASSIGN_OR_RETURN(const std::vector<checkpoint::ExportFile> files, checkpoint::MakeExport(input));
  return checkpoint::WriteExport(folder, files);
}

absl::Status WriteTokenFile(const torch::Tensor& tokens_WL, const std::string& path) {
  const torch::Tensor tokens = tokens_WL.to(torch::kCPU, torch::kInt32).contiguous();
  std::string header =
      absl::StrCat("{'descr': '<i4', 'fortran_order': False, 'shape': (", tokens.size(0), ", ", tokens.size(1), "), }");
  // Magic, version and header length take 10 bytes; the whole head is a multiple of 64 and ends with a line feed.
  header.append(63 - (10 + header.size()) % 64, ' ').push_back('\n');
  std::string file("\x93NUMPY\x01\x00", 8);
  file.push_back(static_cast<char>(header.size() & 0xff));
  file.push_back(static_cast<char>(header.size() >> 8));
  file += header;
  file.append(static_cast<const char*>(tokens.const_data_ptr()), static_cast<size_t>(tokens.nbytes()));
  return WriteFileAtomically(path, file);
}

}  // namespace espalier::bench
