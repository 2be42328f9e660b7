// CUDA source compiled on the machine that runs it, with the NVRTC that LibTorch brings: no CUDA compiler at build time.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

namespace espalier {

// The machine code of a CUDA source for an architecture ("sm_90"); needs no device. kUnavailable when no NVRTC is there,
// kInvalidArgument with the compiler's first lines when it refuses.
absl::StatusOr<std::string> CompileCuda(const char* source, const std::string& architecture);

// The kernels of a source on a CUDA device, ready for the runtime's launch functions; loaded until the process ends. Errors
// as LoadCudaKernel.
class CudaModule {
 public:
  static absl::StatusOr<CudaModule> Load(const char* source, int device);
  absl::StatusOr<const void*> Find(const char* name) const;  // an extern "C" __global__ function

 private:
  explicit CudaModule(void* library) : library_(library) {}
  void* library_;
};

// A kernel of the source (extern "C") for the CUDA device, ready for the runtime's launch functions, with leave to use all the
// shared memory that a block can have. It stays loaded until the process ends. Also kFailedPrecondition when this program
// was built without CUDA, kInternal when the runtime refuses the code.
absl::StatusOr<const void*> LoadCudaKernel(const char* source, const char* name, int device);

// All kernels of one source, loaded for a device when it first asks. Thread-safe; meant to live as long as the process.
class KernelSet {
 public:
  // `loss` is what goes on without them, for the one line on the standard error: "training is slower".
  KernelSet(std::string source, std::vector<std::string> names, const char* loss)
      : source_(std::move(source)), names_(std::move(names)), loss_(loss) {}

  // In the order of the names; null when they cannot be had on this device.
  const std::vector<const void*>* On(int device);

 private:
  absl::StatusOr<std::vector<const void*>> Load(int device) const;

  const std::string source_;
  const std::vector<std::string> names_;
  const char* const loss_;
  std::mutex mutex_;
  std::map<int, std::vector<const void*>> by_device_;  // empty: cannot be had
};

// Starts a kernel on the current stream; throws c10::Error when the runtime refuses. `arguments` point at the parameters.
void LaunchKernel(const void* kernel, int64_t blocks, int threads, void** arguments);

template <typename... Arguments>
void Launch(const void* kernel, int64_t blocks, int threads, Arguments... arguments) {
  void* pointers[] = {&arguments...};
  LaunchKernel(kernel, blocks, threads, pointers);
}

}  // namespace espalier
