// CUDA source compiled on the machine that runs it, with the NVRTC that LibTorch brings: no CUDA compiler at build time.
#pragma once

#include <string>

#include "absl/status/statusor.h"

namespace espalier {

// The machine code of a CUDA source for an architecture ("sm_90"); needs no device. kUnavailable when no NVRTC is there,
// kInvalidArgument with the compiler's first lines when it refuses.
absl::StatusOr<std::string> CompileCuda(const char* source, const std::string& architecture);

// A kernel of the source (extern "C") for the CUDA device, ready for the runtime's launch functions, with leave to use all the
// shared memory that a block can have. It stays loaded until the process ends. Also kFailedPrecondition when this program
// was built without CUDA, kInternal when the runtime refuses the code.
absl::StatusOr<const void*> LoadCudaKernel(const char* source, const char* name, int device);

}  // namespace espalier
