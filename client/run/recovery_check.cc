#include "client/run/recovery_check.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>

#include "client/process/child_process.h"
#include "client/run/interrupt.h"
#include "common/base/status_macros.h"
#include "common/checkpoint/model_folder.h"
#include "common/domain/device_memory.h"
#include "common/domain/runtime_profile.h"
#include "common/wire/job_conversion.h"

namespace espalier {
namespace {

constexpr std::chrono::seconds kLongestAnswer{60};  // LibTorch and CUDA have to be loaded for it

absl::StatusOr<JobSize> SizeOfJob(const JobSpec& spec) {
  ESPALIER_ASSIGN_OR_RETURN(const auto folder, checkpoint::ModelFolder::Open(spec.model_folder));
  const ModelConfig& dense = folder->config();
  ESPALIER_ASSIGN_OR_RETURN(const Ladder ladder, BuildLadderForRuntime(dense, spec.ladder, spec.runtime));
  const CostTable costs = BuildCostTable(dense, ladder, spec.cost, std::nullopt);
  ESPALIER_ASSIGN_OR_RETURN(const int64_t target, ResolveTarget(spec.target, costs));
  const int64_t whole = costs.Of(Mask{.levels = std::vector<int>(ladder.units.size(), 0)});
  JobSize size;
  size.dense_parameters = CountParameters(dense);
  size.share = static_cast<double>(target) / static_cast<double>(whole);
  return size;
}

std::optional<int64_t> LargestHere(DeviceKind device, int num_workers) {
  if (device == DeviceKind::kCpu) return static_cast<int64_t>(::sysconf(_SC_PHYS_PAGES)) * ::sysconf(_SC_PAGESIZE);
  const absl::StatusOr<std::string> worker = FindSiblingProgram("espalier-worker", "ESPALIER_WORKER");
  if (!worker.ok()) return std::nullopt;
  const auto end = std::chrono::steady_clock::now() + kLongestAnswer;
  const absl::StatusOr<CapturedRun> run =
      RunAndCapture({.program = *worker, .arguments = {"devices"}, .environment = {}, .log_path = "/dev/null"},
                    [end] { return !IsInterrupted() && std::chrono::steady_clock::now() < end; });
  if (!run.ok() || !run->status.ok()) return std::nullopt;
  return LargestCudaDevice(run->output, std::max(num_workers, 1));
}

}  // namespace

std::optional<int64_t> LargestCudaDevice(const std::string& answer, int num_devices) {
  const nlohmann::json json = nlohmann::json::parse(answer, nullptr, false);
  if (!json.is_object() || !json.contains("cuda_devices") || !json["cuda_devices"].is_array()) return std::nullopt;
  std::optional<int64_t> largest;
  for (const nlohmann::json& device : json["cuda_devices"]) {
    if (num_devices-- == 0) break;
    const auto memory = device.is_object() ? device.find("memory_bytes") : device.end();
    if (memory == device.end() || !memory->is_number_integer()) return std::nullopt;
    largest = std::max(largest.value_or(0), memory->get<int64_t>());
  }
  return largest;
}

absl::Status CheckRecoveryFitsHere(const v1::JobSpec& proto, int num_workers) {
  const absl::StatusOr<JobSpec> spec = wire::FromUser(proto);
  if (!spec.ok() || spec->recovery.tokens == 0) return absl::OkStatus();
  const absl::StatusOr<JobSize> size = SizeOfJob(*spec);
  if (!size.ok()) return absl::OkStatus();
  return CheckRecoveryFits(*spec, *size, LargestHere(spec->device, num_workers), spec->device == DeviceKind::kCuda
                                                                                     ? "the largest GPU of this machine"
                                                                                     : "this machine");
}

}  // namespace espalier
