// Small index lists on a device without waiting for the device.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <vector>

namespace espalier {

// int64. On CUDA the copy is queued from pinned memory, so the host goes on at once.
torch::Tensor IndexTensor(const std::vector<int64_t>& indices, torch::Device device);

}  // namespace espalier
