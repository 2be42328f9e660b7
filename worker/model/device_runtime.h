// What a worker asks of LibTorch about its process and its device: start-up, threads, names, memory, and what an exception
// from it means. The one place that names CUDA's own interfaces outside of kernels and graphs.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/domain/job.h"

namespace espalier {

// Once in a process, before anything else uses LibTorch; later calls do nothing. Sets what would otherwise depend on the
// machine: one thread between operators, no autotuning of kernels, full fp32 products; and no attention that is planned by shape.
void InitTorch();

// kFailedPrecondition, with what was found, when the device is not there.
absl::StatusOr<torch::Device> OpenDevice(DeviceKind kind, int index);

// Makes it the calling thread's current device; each thread that runs tasks says so once. No-op on CPU.
void UseDevice(torch::Device device);

// Threads inside an operator, for the calling thread: on the CPU results depend on it, so a task sets it before it computes.
void SetComputeThreads(int threads);

std::string DeviceName(torch::Device device);        // "NVIDIA H200", or the CPU's model name
int64_t DeviceMemoryBytes(torch::Device device);     // of the device; of the machine on CPU
int64_t FreeDeviceMemory(torch::Device device);      // what an allocation can still get; of the machine on CPU
// From now on this process's tensors take no more of the device than this, as on a smaller one; no-op on CPU.
void LimitDeviceMemory(torch::Device device, int64_t bytes);
std::string InstructionSet(torch::Device device);    // "AVX2 GenuineIntel", "sm_90": kernels differ between these
std::string TorchVersion();                          // "2.11"

// Of this process on the device since the last reset, in bytes; 0 on CPU, where nobody counts.
int64_t PeakDeviceBytes(torch::Device device);
void ResetPeakDeviceBytes(torch::Device device);

void SynchronizeDevice(torch::Device device);  // waits for queued work; no-op on CPU
// Waits for the calling thread's stream: before tensors go to threads that work on other streams, and before the last
// reference to another thread's tensors goes. No-op on CPU.
void SynchronizeCurrentStream(torch::Device device);
void EmptyDeviceCache(torch::Device device);   // gives unused blocks back, so that one large allocation can have them

// When the CUDA context is broken for good (an illegal address, an uncorrectable memory error), nothing in this process can
// compute any more: says so on the standard error with `message` and ends the process with code 70, so that its leases
// expire and the tasks go elsewhere. Returns when the device still answers. For use after an error that nothing explains.
void EndProcessIfDeviceIsLost(torch::Device device, const std::string& message);
inline constexpr int kDeviceLostExitCode = 70;

// Call inside a catch (...) block: the exception as a status. kResourceExhausted for device or host memory, else kInternal
// with the first line of its message, after EndProcessIfDeviceIsLost.
absl::Status StatusOfCurrentException(torch::Device device);

}  // namespace espalier
