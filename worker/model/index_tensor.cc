#include "worker/model/index_tensor.h"

namespace espalier {

torch::Tensor IndexTensor(const std::vector<int64_t>& indices, torch::Device device) {
  const torch::Tensor host = torch::tensor(indices, torch::kInt64);
  if (!device.is_cuda()) return host;
  return host.pin_memory().to(device, /*non_blocking=*/true);
}

}  // namespace espalier
