#include "worker/prune/removal_kernel.h"

#include <algorithm>
#include <map>
#include <mutex>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "worker/model/device_runtime.h"
#include "worker/model/torch_status.h"
#include "worker/prune/removal_source.h"
#include "worker/model/runtime_kernel.h"

#ifdef ESPALIER_HAS_CUDA
#include <ATen/cuda/CUDAContext.h>
#include <cuda_runtime_api.h>
#endif

namespace espalier {

#ifdef ESPALIER_HAS_CUDA
namespace {

constexpr int kThreads = 512;
// Fewer thread blocks meet faster; this many columns keep one busy for less than a meeting.
constexpr int64_t kLeastWidth = 64;

class CudaRemovalKernel final : public RemovalKernel {
 public:
  CudaRemovalKernel(const void* kernel, int num_processors, int64_t shared_bytes)
      : kernel_(kernel), num_processors_(num_processors), shared_bytes_(shared_bytes) {}

  int64_t BlockColumns(int64_t columns, int64_t wanted) const override {
    const int64_t width = Width(columns);
    if (width > kThreads || 4 * columns * columns > int64_t{1} << 40) return 0;
    while (wanted > 0 && SharedBytes(width, wanted) > shared_bytes_) wanted -= std::min<int64_t>(wanted, 8);
    return wanted;
  }

  absl::Status Run(const RemovalBlock& block, int64_t steps) const override {
    const int64_t columns = block.base.size(0), width = Width(columns), block_columns = block.late.size(1);
    const int64_t num_blocks = (columns + width - 1) / width;
    const torch::Tensor shown_diagonals = torch::empty({2, 2, columns}, block.base.options());
    const torch::Tensor shown_lowest = torch::empty({2, num_blocks}, block.base.options());
    const torch::Tensor arrived = torch::zeros({1}, block.base.options().dtype(torch::kInt32));
    const void *base = block.base.const_data_ptr(), *ids = block.ids.const_data_ptr();
    void *late = block.late.mutable_data_ptr(), *diagonals = block.diagonals.mutable_data_ptr();
    void *order = block.order.mutable_data_ptr(), *meeting = arrived.mutable_data_ptr();
    void *shown = shown_diagonals.mutable_data_ptr(), *lowest = shown_lowest.mutable_data_ptr();
    int counts[] = {static_cast<int>(columns), static_cast<int>(width), static_cast<int>(block_columns),
                    static_cast<int>(steps), static_cast<int>(block.alive)};
    void* arguments[] = {&base,   &late,    &diagonals, &ids,       &order,     &shown,    &lowest,
                         &meeting, counts, counts + 1, counts + 2, counts + 3, counts + 4};
    const cudaError_t error =
        cudaLaunchCooperativeKernel(kernel_, dim3(static_cast<unsigned>(num_blocks)), dim3(kThreads), arguments,
                                    static_cast<size_t>(SharedBytes(width, block_columns)), at::cuda::getCurrentCUDAStream());
    if (error == cudaSuccess) return absl::OkStatus();
    (void)cudaGetLastError();
    return absl::InternalError(absl::StrCat("launching the removal kernel: ", cudaGetErrorString(error)));
  }

 private:
  int64_t Width(int64_t columns) const { return std::max(kLeastWidth, (columns + num_processors_ - 1) / num_processors_); }

  // As removal_source.h lays it out.
  static int64_t SharedBytes(int64_t width, int64_t block_columns) {
    const int64_t padded = (width + 31) / 32 * 32;
    const int64_t slices = kThreads / padded;
    return 8 * (2 * block_columns * width + 2 * block_columns + 2 * slices * padded + padded / 32);
  }

  const void* const kernel_;
  const int num_processors_;
  const int64_t shared_bytes_;
};

absl::StatusOr<std::unique_ptr<RemovalKernel>> Make(torch::Device device) {
  const cudaDeviceProp* const properties = at::cuda::getDeviceProperties(device.index());
  if (properties->major < 7 || properties->cooperativeLaunch == 0) {
    return absl::UnavailableError("the device cannot launch cooperatively");
  }
  ESPALIER_ASSIGN_OR_RETURN(const void* kernel, LoadCudaKernel(kRemovalSource, "RemoveColumns", device.index()));
  return std::make_unique<CudaRemovalKernel>(kernel, properties->multiProcessorCount,
                                             static_cast<int64_t>(properties->sharedMemPerBlockOptin) - 2048);
}

}  // namespace

absl::StatusOr<const RemovalKernel*> RemovalKernel::For(torch::Device device) {
  static std::mutex mutex;
  static auto* const kernels = new std::map<int, absl::StatusOr<std::unique_ptr<RemovalKernel>>>;
  const std::lock_guard lock(mutex);
  const auto [entry, is_new] = kernels->try_emplace(device.index(), absl::UnknownError(""));
  if (is_new) {
    UseDevice(device);
    entry->second = WithTorchStatus("compiling the removal kernel", device, [&] { return Make(device); });
  }
  ESPALIER_RETURN_IF_ERROR(entry->second.status());
  return entry->second->get();
}

#else

absl::StatusOr<const RemovalKernel*> RemovalKernel::For(torch::Device) {
  return absl::FailedPreconditionError("this program was built without CUDA");
}

#endif

}  // namespace espalier
