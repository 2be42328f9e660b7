#include "worker/model/device_runtime.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <ATen/ops/eye.h>
#include <ATen/ops/linalg_cholesky.h>
#include <c10/util/Exception.h>
#include <torch/cuda.h>
#include <torch/version.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <mutex>
#include <new>

#include "absl/strings/str_cat.h"

#ifdef ESPALIER_HAS_CUDA
#include <ATen/cuda/CUDAContext.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#endif

namespace espalier {
namespace {

// The value of the first line of a /proc file that starts with `key`, after its colon; empty when there is none.
std::string ProcValue(const char* path, const std::string& key) {
  std::ifstream file(path);
  std::string line;
  while (std::getline(file, line)) {
    if (line.compare(0, key.size(), key) != 0) continue;
    const size_t colon = line.find(':');
    if (colon == std::string::npos) continue;
    const size_t begin = line.find_first_not_of(" \t", colon + 1);
    return begin == std::string::npos ? "" : line.substr(begin);
  }
  return "";
}

// LibTorch loads its CUDA linear algebra with the first call, which must not come from two threads at once.
void WarmUpLinearAlgebra(torch::Device device) {
  static std::once_flag once;
  std::call_once(once, [&] { at::linalg_cholesky(at::eye(2, torch::TensorOptions().device(device))); });
}

std::string FirstLine(const std::string& text) { return text.substr(0, text.find('\n')); }

#ifdef ESPALIER_HAS_CUDA
c10::CachingDeviceAllocator::DeviceStats CudaStats(torch::Device device) {
  return c10::cuda::CUDACachingAllocator::getDeviceStats(device.index());
}
constexpr size_t kAllPools = static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE);
#endif

}  // namespace

void InitTorch() {
  static std::once_flag once;
  std::call_once(once, [] {
    at::set_num_interop_threads(1);
    at::globalContext().setBenchmarkCuDNN(false);
    at::globalContext().setFloat32MatmulPrecision("highest");
    // cuDNN's attention plans every shape for tens of milliseconds, once a thread, and every mask brings new shapes.
    at::globalContext().setSDPUseCuDNN(false);
  });
}

absl::StatusOr<torch::Device> OpenDevice(DeviceKind kind, int index) {
  if (kind == DeviceKind::kCpu) return torch::Device(torch::kCPU);
  const int count = static_cast<int>(torch::cuda::device_count());
  if (index < 0 || index >= count) {
    return absl::FailedPreconditionError(absl::StrCat("CUDA device ", index, " is not there: this machine shows ",
                                                      count,
                                                      " CUDA device(s) to this process; choose --device cpu, or "
                                                      "check nvidia-smi and CUDA_VISIBLE_DEVICES"));
  }
  const torch::Device device(torch::kCUDA, static_cast<c10::DeviceIndex>(index));
  WarmUpLinearAlgebra(device);
  return device;
}

void UseDevice(torch::Device device) {
#ifdef ESPALIER_HAS_CUDA
  if (device.is_cuda()) c10::cuda::set_device(device.index());
#endif
}

void SetComputeThreads(int threads) { at::set_num_threads(threads); }

std::string DeviceName(torch::Device device) {
#ifdef ESPALIER_HAS_CUDA
  if (device.is_cuda()) return at::cuda::getDeviceProperties(device.index())->name;
#endif
  const std::string name = ProcValue("/proc/cpuinfo", "model name");
  return name.empty() ? "CPU" : name;
}

int64_t DeviceMemoryBytes(torch::Device device) {
#ifdef ESPALIER_HAS_CUDA
  if (device.is_cuda()) return static_cast<int64_t>(at::cuda::getDeviceProperties(device.index())->totalGlobalMem);
#endif
  return static_cast<int64_t>(::sysconf(_SC_PHYS_PAGES)) * ::sysconf(_SC_PAGESIZE);
}

int64_t FreeDeviceMemory(torch::Device device) {
#ifdef ESPALIER_HAS_CUDA
  if (device.is_cuda()) {
    c10::cuda::CUDAGuard guard(device);
    size_t free = 0, total = 0;
    if (cudaMemGetInfo(&free, &total) != cudaSuccess) return 0;
    const auto stats = CudaStats(device);
    const int64_t reserved = stats.reserved_bytes[kAllPools].current;
    const double limit = c10::cuda::CUDACachingAllocator::getMemoryFraction(device.index()) * static_cast<double>(total);
    const int64_t below_limit = std::max<int64_t>(static_cast<int64_t>(limit) - reserved, 0);
    return std::min(static_cast<int64_t>(free), below_limit) + reserved - stats.allocated_bytes[kAllPools].current;
  }
#endif
  const std::string available = ProcValue("/proc/meminfo", "MemAvailable");  // "12345 kB"
  return available.empty() ? DeviceMemoryBytes(device) / 2 : std::strtoll(available.c_str(), nullptr, 10) * 1024;
}

std::string InstructionSet(torch::Device device) {
#ifdef ESPALIER_HAS_CUDA
  if (device.is_cuda()) {
    const auto* properties = at::cuda::getDeviceProperties(device.index());
    return absl::StrCat("sm_", properties->major, properties->minor);
  }
#endif
  // Math libraries choose their kernels by the maker too.
  const std::string vendor = ProcValue("/proc/cpuinfo", "vendor_id");
  return vendor.empty() ? at::get_cpu_capability() : absl::StrCat(at::get_cpu_capability(), " ", vendor);
}

std::string TorchVersion() { return absl::StrCat(TORCH_VERSION_MAJOR, ".", TORCH_VERSION_MINOR); }

int64_t PeakDeviceBytes(torch::Device device) {
#ifdef ESPALIER_HAS_CUDA
  if (device.is_cuda()) return CudaStats(device).allocated_bytes[kAllPools].peak;
#endif
  return 0;
}

void ResetPeakDeviceBytes(torch::Device device) {
#ifdef ESPALIER_HAS_CUDA
  // Before the first allocation there is nothing to reset, and the allocator would refuse the device.
  if (device.is_cuda() && c10::cuda::CUDACachingAllocator::get()->initialized()) {
    c10::cuda::CUDACachingAllocator::resetPeakStats(device.index());
  }
#endif
}

void SynchronizeDevice(torch::Device device) {
  if (device.is_cuda()) torch::cuda::synchronize(device.index());
}

void SynchronizeCurrentStream(torch::Device device) {
#ifdef ESPALIER_HAS_CUDA
  if (device.is_cuda()) c10::cuda::getCurrentCUDAStream(device.index()).synchronize();
#endif
}

void LimitDeviceMemory(torch::Device device, int64_t bytes) {
#ifdef ESPALIER_HAS_CUDA
  if (!device.is_cuda()) return;
  const double share = static_cast<double>(bytes) / static_cast<double>(DeviceMemoryBytes(device));
  c10::cuda::CUDACachingAllocator::setMemoryFraction(std::min(share, 1.0), device.index());
#else
  (void)device, (void)bytes;
#endif
}

void EmptyDeviceCache(torch::Device device) {
#ifdef ESPALIER_HAS_CUDA
  if (device.is_cuda()) c10::cuda::CUDACachingAllocator::emptyCache();
#endif
}

void EndProcessIfDeviceIsLost(torch::Device device, const std::string& message) {
  if (!device.is_cuda()) return;
  try {
    torch::cuda::synchronize(device.index());
  } catch (const std::exception&) {  // an error that every later call repeats: the context is gone
    std::fprintf(stderr, "espalier worker: the CUDA device is lost for this process: %s\n", message.c_str());
    std::fflush(nullptr);
    std::_Exit(kDeviceLostExitCode);
  }
}

absl::Status StatusOfCurrentException(torch::Device device) {
  try {
    throw;
  } catch (const c10::OutOfMemoryError& error) {
    return absl::ResourceExhaustedError(FirstLine(error.what_without_backtrace()));
  } catch (const c10::Error& error) {
    const std::string message = FirstLine(error.what_without_backtrace());
    EndProcessIfDeviceIsLost(device, message);
    // The CPU allocator and CUDA's own libraries report a full memory as ordinary errors.
    for (const char* sign : {"not enough memory", "can't allocate memory", "out of memory", "ALLOC_FAILED"}) {
      if (message.find(sign) != std::string::npos) return absl::ResourceExhaustedError(message);
    }
    return absl::InternalError(message);
  } catch (const std::bad_alloc&) {
    return absl::ResourceExhaustedError("out of host memory");
  } catch (const std::exception& error) {
    EndProcessIfDeviceIsLost(device, FirstLine(error.what()));
    return absl::InternalError(FirstLine(error.what()));
  } catch (...) {
    return absl::InternalError("an exception of an unknown type");
  }
}

}  // namespace espalier
