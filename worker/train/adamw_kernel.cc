#include "worker/train/adamw_kernel.h"

#include <c10/util/Exception.h>

#include <algorithm>
#include <string>
#include <utility>

#include "worker/model/fused_ops.h"
#include "worker/model/kernel_source.h"
#include "worker/model/runtime_kernel.h"
#include "worker/train/adamw_byte_source.h"
#include "worker/train/adamw_lean_source.h"
#include "worker/train/adamw_source.h"

namespace espalier {
namespace {

constexpr int kMostLeaves = 128;
constexpr int kThreads = 256;
constexpr int64_t kTile = 2048;
constexpr int64_t kBlocks = 132 * 8;  // all that an H100 or H200 holds at once
constexpr size_t kLoadBytes = 16;     // of gradients at once

struct Leaves {  // as in the source
  const void* gradient[kMostLeaves];
  unsigned long long offset[kMostLeaves];
  unsigned long long elements[kMostLeaves];
  unsigned tiles_end[kMostLeaves];
  int count;
};
struct Settings {
  double beta1, beta2;
  float epsilon, weight_decay;
};

KernelSet* MakeKernels(const std::string& sources, std::vector<std::string> names) {
  return new KernelSet(WithBf16((kAdamWSource + sources).c_str()), std::move(names), "training is slower");
}

// Null when it cannot be had. The leaner ones are compiled where they are wanted only: most trainers keep wider formats.
const void* KernelOf(torch::Device device, MomentsFormat moments, MastersFormat masters) {
  static KernelSet* const wide = MakeKernels("", {"adamw_float", "adamw_bf16"});
  static KernelSet* const bytes = MakeKernels(kAdamWByteSource, {"adamw_byte"});
  static KernelSet* const lean = MakeKernels(kAdamWLeanSource, {"adamw_lean_float", "adamw_lean_bf16"});
  static KernelSet* const lean_bytes = MakeKernels(std::string(kAdamWByteSource) + kAdamWLeanByteSource, {"adamw_lean_byte"});
  const bool is_lean = masters == MastersFormat::kBFloat16, is_byte = moments == MomentsFormat::kByte;
  const auto* const kernels = (is_byte ? is_lean ? lean_bytes : bytes : is_lean ? lean : wide)->On(device.index());
  if (kernels == nullptr) return nullptr;
  return (*kernels)[moments == MomentsFormat::kBFloat16 ? 1 : 0];
}

// As the kernel reads it: end to end, and aligned.
torch::Tensor Readable(const torch::Tensor& gradient) {
  const torch::Tensor dense = gradient.contiguous();
  return reinterpret_cast<uintptr_t>(dense.const_data_ptr()) % kLoadBytes == 0 ? dense : dense.clone();
}

}  // namespace

bool HasAdamWKernel(const FlatParameters& parameters, MomentsFormat moments, MastersFormat masters) {
  return HasFusedOps(parameters.flat) && KernelOf(parameters.flat.device(), moments, masters) != nullptr;
}

void StepAdamW(const FlatParameters& parameters, const TrainSettings& settings, const std::vector<torch::Tensor>& gradients,
               const AdamWTensors& tensors, const torch::Tensor& clip, const torch::Tensor& learning_rate) {
  const torch::ScalarType stored = tensors.first_moments.scalar_type();
  const bool bytes = stored == torch::kUInt8;
  const MomentsFormat moments = bytes                        ? MomentsFormat::kByte
                                : stored == torch::kBFloat16 ? MomentsFormat::kBFloat16
                                                             : MomentsFormat::kFloat32;
  const MastersFormat masters =
      tensors.master.scalar_type() == torch::kBFloat16 ? MastersFormat::kBFloat16 : MastersFormat::kFloat32;
  const void* const kernel = KernelOf(parameters.flat.device(), moments, masters);
  const Settings constants = {settings.beta1, settings.beta2, static_cast<float>(settings.epsilon),
                              static_cast<float>(settings.weight_decay)};
  std::vector<torch::Tensor> readable;  // alive until the launch
  Leaves leaves = {};
  int64_t tiles = 0, first_tile = 0;
  const auto launch = [&] {
    const void* const factor = clip.defined() ? clip.const_data_ptr() : nullptr;
    if (bytes) {
      Launch(kernel, std::min(tiles, kBlocks), kThreads, leaves, static_cast<unsigned>(first_tile), tensors.master.mutable_data_ptr(),
             tensors.first_moments.mutable_data_ptr(), tensors.first_scales.mutable_data_ptr(),
             tensors.second_moments.mutable_data_ptr(), tensors.second_scales.mutable_data_ptr(), tensors.table.const_data_ptr(),
             parameters.flat.mutable_data_ptr(), learning_rate.const_data_ptr(), tensors.step_count.const_data_ptr(),
             tensors.all_steps.const_data_ptr(), factor, constants);
    } else {
      Launch(kernel, std::min(tiles, kBlocks), kThreads, leaves, tensors.master.mutable_data_ptr(),
             tensors.first_moments.mutable_data_ptr(), tensors.second_moments.mutable_data_ptr(), parameters.flat.mutable_data_ptr(),
             learning_rate.const_data_ptr(), tensors.step_count.const_data_ptr(), tensors.all_steps.const_data_ptr(), factor, constants);
    }
    leaves = {};
    first_tile += tiles;
    tiles = 0;
  };
  for (size_t i = 0; i < parameters.leaves.size(); ++i) {
    const int64_t elements = parameters.leaves[i].numel();
    if (elements == 0) continue;
    if (leaves.count == kMostLeaves) launch();
    if (gradients[i].defined()) {
      readable.push_back(Readable(gradients[i]));
      leaves.gradient[leaves.count] = readable.back().const_data_ptr();
    }
    tiles += (elements + kTile - 1) / kTile;
    TORCH_CHECK(tiles < int64_t{1} << 31, "too many parameters for one launch of the optimiser");
    leaves.offset[leaves.count] = static_cast<unsigned long long>(parameters.offsets[i]);
    leaves.elements[leaves.count] = static_cast<unsigned long long>(elements);
    leaves.tiles_end[leaves.count++] = static_cast<unsigned>(tiles);
  }
  if (leaves.count > 0) launch();
}

}  // namespace espalier
