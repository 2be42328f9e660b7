#include "worker/model/runtime_kernel.h"

#include <c10/util/Exception.h>

#include <cstdio>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"

#ifdef ESPALIER_HAS_CUDA
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAStream.h>
#include <cuda_runtime_api.h>
#include <dlfcn.h>
#include <nvrtc.h>

#include "common/base/strings.h"
#endif

namespace espalier {

#ifdef ESPALIER_HAS_CUDA
namespace {

// NVRTC is opened when it is first needed, so that a machine without CUDA's libraries still runs everything else.
struct Nvrtc {
  decltype(&nvrtcCreateProgram) create = nullptr;
  decltype(&nvrtcDestroyProgram) destroy = nullptr;
  decltype(&nvrtcCompileProgram) compile = nullptr;
  decltype(&nvrtcGetCUBINSize) code_size = nullptr;
  decltype(&nvrtcGetCUBIN) code = nullptr;
  decltype(&nvrtcGetProgramLogSize) log_size = nullptr;
  decltype(&nvrtcGetProgramLog) log = nullptr;
  decltype(&nvrtcGetErrorString) error = nullptr;
};

// By its name where the loader knows it, else beside LibTorch, as the pip packages lie.
void* OpenNvrtc(std::string& reason) {
  const std::string name = absl::StrCat("libnvrtc.so.", CUDART_VERSION / 1000);
  if (void* library = ::dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL); library != nullptr) return library;
  Dl_info place;
  if (::dladdr(reinterpret_cast<void*>(&c10::cuda::c10_cuda_check_implementation), &place) != 0 && place.dli_fname != nullptr) {
    const std::string file = place.dli_fname;
    const std::string folder = file.substr(0, file.rfind('/') + 1);
    const std::string beside = absl::StrCat(folder, "../../nvidia/cu", CUDART_VERSION / 1000, "/lib/", name);
    if (void* library = ::dlopen(beside.c_str(), RTLD_NOW | RTLD_LOCAL); library != nullptr) return library;
  }
  const char* const said = ::dlerror();
  reason = said == nullptr ? absl::StrCat("no ", name) : said;
  return nullptr;
}

// NVRTC opens its built-in functions by name alone, which finds nothing in a folder that the loader does not search. Loaded from
// beside it before, they are found; where the loader knows them this changes nothing.
void LoadBuiltins(void* library) {
  const auto version = reinterpret_cast<decltype(&nvrtcVersion)>(::dlsym(library, "nvrtcVersion"));
  int major = 0, minor = 0;
  Dl_info place;
  if (version == nullptr || version(&major, &minor) != NVRTC_SUCCESS) return;
  if (::dladdr(reinterpret_cast<void*>(version), &place) == 0 || place.dli_fname == nullptr) return;
  const std::string file = place.dli_fname;
  const std::string folder = file.substr(0, file.rfind('/') + 1);
  (void)::dlopen(absl::StrCat(folder, "libnvrtc-builtins.so.", major, ".", minor).c_str(), RTLD_NOW | RTLD_GLOBAL);
}

absl::StatusOr<Nvrtc> LoadNvrtc() {
  std::string reason;
  void* const library = OpenNvrtc(reason);
  if (library == nullptr) return absl::UnavailableError(absl::StrCat("NVRTC is not there: ", reason));
  LoadBuiltins(library);
  Nvrtc nvrtc;
  bool complete = true;
  const auto find = [&]<typename Function>(Function& function, const char* symbol) {
    function = reinterpret_cast<Function>(::dlsym(library, symbol));
    complete = complete && function != nullptr;
  };
  find(nvrtc.create, "nvrtcCreateProgram");
  find(nvrtc.destroy, "nvrtcDestroyProgram");
  find(nvrtc.compile, "nvrtcCompileProgram");
  find(nvrtc.code_size, "nvrtcGetCUBINSize");
  find(nvrtc.code, "nvrtcGetCUBIN");
  find(nvrtc.log_size, "nvrtcGetProgramLogSize");
  find(nvrtc.log, "nvrtcGetProgramLog");
  find(nvrtc.error, "nvrtcGetErrorString");
  if (!complete) return absl::UnavailableError("NVRTC is there, but lacks a function that is needed");
  return nvrtc;
}

std::string LogOf(const Nvrtc& nvrtc, nvrtcProgram program) {
  size_t size = 0;
  if (nvrtc.log_size(program, &size) != NVRTC_SUCCESS || size == 0) return "";
  std::string log(size, '\0');
  if (nvrtc.log(program, log.data()) != NVRTC_SUCCESS) return "";
  return log.substr(0, 400);
}

absl::StatusOr<std::string> CodeOf(const Nvrtc& nvrtc, nvrtcProgram program, const std::string& architecture) {
  const std::string target = absl::StrCat("--gpu-architecture=", architecture);
  const char* const options[] = {target.c_str(), "--std=c++17"};
  if (const nvrtcResult result = nvrtc.compile(program, 2, options); result != NVRTC_SUCCESS) {
    return absl::InvalidArgumentError(absl::StrCat("NVRTC, for ", architecture, ": ", nvrtc.error(result), ": ", LogOf(nvrtc, program)));
  }
  size_t size = 0;
  nvrtcResult result = nvrtc.code_size(program, &size);
  std::string code(size, '\0');
  if (result == NVRTC_SUCCESS) result = nvrtc.code(program, code.data());
  if (result != NVRTC_SUCCESS) return absl::InvalidArgumentError(absl::StrCat("NVRTC: ", nvrtc.error(result)));
  return code;
}

absl::Status CudaError(const char* what, cudaError_t error) {
  (void)cudaGetLastError();
  return absl::InternalError(absl::StrCat(what, ": ", cudaGetErrorString(error)));
}

}  // namespace

absl::StatusOr<std::string> CompileCuda(const char* source, const std::string& architecture) {
  static const auto* const loaded = new absl::StatusOr<Nvrtc>(LoadNvrtc());
  ESPALIER_RETURN_IF_ERROR(loaded->status());
  const Nvrtc& nvrtc = **loaded;
  nvrtcProgram program = nullptr;
  if (const nvrtcResult result = nvrtc.create(&program, source, "espalier.cu", 0, nullptr, nullptr); result != NVRTC_SUCCESS) {
    return absl::InvalidArgumentError(absl::StrCat("NVRTC: ", nvrtc.error(result)));
  }
  absl::StatusOr<std::string> code = CodeOf(nvrtc, program, architecture);
  nvrtc.destroy(&program);
  return code;
}

absl::StatusOr<CudaModule> CudaModule::Load(const char* source, int device) {
  cudaDeviceProp properties;
  cudaError_t error = cudaGetDeviceProperties(&properties, device);
  if (error == cudaSuccess) error = cudaSetDevice(device);
  if (error != cudaSuccess) return CudaError("looking at the device", error);
  ESPALIER_ASSIGN_OR_RETURN(const std::string code, CompileCuda(source, absl::StrCat("sm_", properties.major, properties.minor)));
  cudaLibrary_t library = nullptr;
  error = cudaLibraryLoadData(&library, code.data(), nullptr, nullptr, 0, nullptr, nullptr, 0);
  if (error != cudaSuccess) return CudaError("loading a compiled kernel", error);
  return CudaModule(library);
}

absl::StatusOr<const void*> CudaModule::Find(const char* name) const {
  cudaKernel_t kernel = nullptr;
  const cudaError_t error = cudaLibraryGetKernel(&kernel, static_cast<cudaLibrary_t>(library_), name);
  if (error != cudaSuccess) return CudaError("finding a compiled kernel", error);
  return reinterpret_cast<const void*>(kernel);
}

absl::StatusOr<const void*> LoadCudaKernel(const char* source, const char* name, int device) {
  ESPALIER_ASSIGN_OR_RETURN(const CudaModule module, CudaModule::Load(source, device));
  ESPALIER_ASSIGN_OR_RETURN(const void* const kernel, module.Find(name));
  int shared_bytes = 0;
  cudaError_t error = cudaDeviceGetAttribute(&shared_bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, device);
  if (error == cudaSuccess) {
    error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, shared_bytes - 1024);
  }
  if (error != cudaSuccess) return CudaError("asking for shared memory", error);
  return kernel;
}

void LaunchKernel(const void* kernel, int64_t blocks, int threads, void** arguments) {
  if (blocks == 0) return;
  C10_CUDA_CHECK(cudaLaunchKernel(kernel, dim3(static_cast<unsigned>(blocks)), dim3(static_cast<unsigned>(threads)), arguments, 0,
                                  c10::cuda::getCurrentCUDAStream()));
}

#else

absl::StatusOr<std::string> CompileCuda(const char*, const std::string&) {
  return absl::UnavailableError("this program was built without CUDA");
}

absl::StatusOr<CudaModule> CudaModule::Load(const char*, int) {
  return absl::FailedPreconditionError("this program was built without CUDA");
}

absl::StatusOr<const void*> CudaModule::Find(const char*) const {
  return absl::FailedPreconditionError("this program was built without CUDA");
}

absl::StatusOr<const void*> LoadCudaKernel(const char*, const char*, int) {
  return absl::FailedPreconditionError("this program was built without CUDA");
}

void LaunchKernel(const void*, int64_t, int, void**) { TORCH_CHECK(false, "this program was built without CUDA"); }

#endif

absl::StatusOr<std::vector<const void*>> KernelSet::Load(int device) const {
  ESPALIER_ASSIGN_OR_RETURN(const CudaModule module, CudaModule::Load(source_.c_str(), device));
  std::vector<const void*> kernels;
  for (const std::string& name : names_) {
    ESPALIER_ASSIGN_OR_RETURN(kernels.emplace_back(), module.Find(name.c_str()));
  }
  return kernels;
}

const std::vector<const void*>* KernelSet::On(int device) {
  const std::lock_guard lock(mutex_);
  const auto [entry, is_new] = by_device_.try_emplace(device);
  if (is_new) {
    absl::StatusOr<std::vector<const void*>> kernels = Load(device);
    if (kernels.ok()) {
      entry->second = *std::move(kernels);
    } else {
      std::fprintf(stderr, "espalier: without fused kernels, %s: %s\n", loss_, kernels.status().ToString().c_str());
    }
  }
  return entry->second.empty() ? nullptr : &entry->second;
}

}  // namespace espalier
