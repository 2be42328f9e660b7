// A block of removals of single columns as one kernel on CUDA.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"

namespace espalier {

// What a block of removals reads and writes; all on one device, contiguous.
struct RemovalBlock {
  torch::Tensor base;       // double [columns, 2, columns]: rows of M and C as of the last block's end
  torch::Tensor late;       // double [3, block, columns]: gets u, v and u again of each step
  torch::Tensor diagonals;  // double [2, columns]: of M and C, current before and after
  torch::Tensor ids;        // int64 [columns]: dense index of each column
  torch::Tensor order;      // int64: its front gets the ids that went
  int64_t alive = 0;        // columns not yet removed
};

// Compiled once in a process for each device. Stateless beyond that; any thread.
class RemovalKernel {
 public:
  // Not an OK status, which says why, when the device cannot have it.
  static absl::StatusOr<const RemovalKernel*> For(torch::Device device);
  virtual ~RemovalKernel() = default;

  // The most removals of one block, at most `wanted`, that fit into shared memory with this many columns; 0: none.
  virtual int64_t BlockColumns(int64_t columns, int64_t wanted) const = 0;

  // Queues `steps` removals on the current stream. Not an OK status when the launch was refused; nothing has run then.
  virtual absl::Status Run(const RemovalBlock& block, int64_t steps) const = 0;
};

}  // namespace espalier
