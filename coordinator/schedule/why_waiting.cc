#include "coordinator/schedule/why_waiting.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/domain/device_memory.h"

namespace espalier {
namespace {

bool HasMemory(const Requirements& requirements, const WorkerDescription& worker) {
  return worker.memory_bytes == 0 || worker.memory_bytes >= requirements.device_memory;
}

bool IsOfClass(const Requirements& requirements, const WorkerDescription& worker) {
  return requirements.numerics_class.empty() || requirements.numerics_class == worker.numerics_class;
}

}  // namespace

bool Fits(const Requirements& requirements, const WorkerDescription& worker) {
  return worker.device == requirements.device && HasMemory(requirements, worker) && IsOfClass(requirements, worker);
}

std::optional<int64_t> LargestMemory(const WorkerTable& workers, DeviceKind device) {
  std::optional<int64_t> largest;
  for (const auto& [id, worker] : workers.all()) {
    if (worker.description.device != device) continue;
    if (worker.description.memory_bytes == 0) return std::nullopt;
    largest = std::max(largest.value_or(0), worker.description.memory_bytes);
  }
  return largest;
}

std::string WhyWaiting(absl::Time now, const Requirements& requirements, const WorkerTable& workers,
                       absl::Duration silence) {
  int num_present = 0, num_device = 0, num_memory = 0, num_fit = 0, num_ready = 0;
  int64_t most_memory = 0;
  for (const auto& [id, worker] : workers.all()) {
    if (!worker.IsPresent(now, silence)) continue;
    ++num_present;
    if (worker.description.device != requirements.device) continue;
    ++num_device;
    most_memory = std::max(most_memory, worker.description.memory_bytes);
    if (!HasMemory(requirements, worker.description)) continue;
    ++num_memory;
    if (!IsOfClass(requirements, worker.description)) continue;
    ++num_fit;
    num_ready += worker.is_quarantined ? 0 : 1;
  }
  if (num_present == 0) return "there are no workers";
  if (num_device == 0) {
    return requirements.device == DeviceKind::kCuda
               ? "waiting for a worker with a CUDA device: those present compute on a CPU"
               : "waiting for a worker that computes on a CPU: those present have CUDA devices";
  }
  if (num_memory == 0) {
    return absl::StrCat("waiting for a worker with at least ", MemoryText(requirements.device_memory),
                        " of device memory: the largest of those present has ", MemoryText(most_memory),
                        requirements.is_memory_an_estimate
                            ? "; the need is an estimate, minimum_device_memory overrides it"
                            : ", and the job's minimum_device_memory asks for more");
  }
  if (num_fit == 0) {
    return absl::StrCat("waiting for a worker of the job's numerics class '", requirements.numerics_class,
                        "', with which it began");
  }
  if (num_ready == 0) return "all workers that fit are in quarantine (`espalier workers` says why)";
  return "all workers that fit are busy";
}

}  // namespace espalier
