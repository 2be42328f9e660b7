// AdamW as one kernel over all leaves: it reads their gradients where backward left them, and writes masters, moments and compute
// weights (which are the masters where those are bf16). LibTorch's own way copies the gradients to fp32, updates, and publishes:
// nearly twice the bytes, and a third buffer.
#pragma once

#include <torch/types.h>

#include <vector>

#include "common/domain/job.h"
#include "worker/train/flat_parameters.h"
#include "worker/train/trainer.h"

namespace espalier {

// Whether the kernel serves these parameters: bf16 on a CUDA device with run-time kernels on (worker/model/fused_ops.h).
bool HasAdamWKernel(const FlatParameters& parameters, MomentsFormat moments, MastersFormat masters);

struct AdamWTensors {
  torch::Tensor master;  // fp32, or the flat buffer itself, bf16
  torch::Tensor first_moments, second_moments;  // both fp32, or bf16, or bytes
  // fp32, one element: this step's number since the moments began and in all, from 1. What is not fp32 is rounded stochastically
  // by the second (worker/train/stochastic_rounding.h).
  torch::Tensor step_count, all_steps;
  torch::Tensor first_scales, second_scales, table;  // of bytes only (worker/train/byte_moments.h)
};

// One step, on the current stream. `gradients` are the leaves' in their order, undefined ones are zero; `clip` is a factor on all
// of them (undefined: 1). The arithmetic is that of at::_fused_adamw_, in fp32, but for the last places of a
// quotient where anything is stored in less.
void StepAdamW(const FlatParameters& parameters, const TrainSettings& settings, const std::vector<torch::Tensor>& gradients,
               const AdamWTensors& tensors, const torch::Tensor& clip, const torch::Tensor& learning_rate);

}  // namespace espalier
