// AdamW over flat tensors (Loshchilov and Hutter, arXiv 1711.05101; decoupled decay on all parameters, as PyTorch's
// default and DarwinLM's runs). The state stays on the device and the learning rate and the step count are tensors
// there, so that a step can be captured as a CUDA graph.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <vector>

#include "common/domain/job.h"
#include "worker/train/flat_parameters.h"
#include "worker/train/trainer.h"

namespace espalier {

class FlatAdamW {
 public:
  // The parameters must outlive the optimiser.
  FlatAdamW(const FlatParameters& parameters, const TrainSettings& settings, MomentsFormat moments,
            MastersFormat masters = MastersFormat::kFloat32);

  // One step. `gradients` are the leaves' gradients in the leaves' order and format; undefined ones count as zero.
  // `learning_rate` is a tensor of one element (LearningRateDtype) on the device.
  void Step(const std::vector<torch::Tensor>& gradients, const torch::Tensor& learning_rate);

  // After `master` was written to: brings the compute weights up to it.
  void PublishMaster();
  // The compute weights become the masters of an optimiser as new.
  void TakeWeights();
  void ClearMoments();  // their step count too

  // The same tensor as the parameters' buffer when that has the masters' format.
  const torch::Tensor& master() const { return master_; }
  const torch::Tensor& first_moments() const { return first_moments_; }
  const torch::Tensor& second_moments() const { return second_moments_; }
  // Of bytes only, else undefined.
  const torch::Tensor& first_scales() const { return first_scales_; }
  const torch::Tensor& second_scales() const { return second_scales_; }
  // Takes over moments in any format; scales are those of bytes. False, and nothing is changed, when they do not fit.
  bool SetMoments(const torch::Tensor& first, const torch::Tensor& first_scales, const torch::Tensor& second,
                  const torch::Tensor& second_scales);
  // Behind the moments, and in all: stochastic rounding goes by the second, which outlives moments that are cleared.
  void SetSteps(int64_t moment_steps, int64_t all_steps);

  torch::ScalarType LearningRateDtype() const;  // what the kernels read: fp32 on a GPU, fp64 on CPU

 private:
  struct Piece {  // of a leaf
    int64_t begin = 0;  // in the flat buffers
    int64_t length = 0;
    int64_t first_block = 0;  // of moments in bytes
  };

  // Whether a step ends with rounding, rather than in fp32 throughout.
  bool is_rounded() const { return moments_ != MomentsFormat::kFloat32 || masters_ != MastersFormat::kFloat32; }
  torch::Tensor ClipOf(const std::vector<torch::Tensor>& gradients) const;  // undefined: no clipping
  void StepWhole(const std::vector<torch::Tensor>& gradients, const torch::Tensor& learning_rate);
  void StepPieces(const std::vector<torch::Tensor>& gradients, const torch::Tensor& learning_rate);
  void StepPiece(const Piece& piece, const torch::Tensor& gradient, const torch::Tensor& learning_rate);
  void Apply(const std::vector<torch::Tensor>& master, const std::vector<torch::Tensor>& gradient,
             const std::vector<torch::Tensor>& first, const std::vector<torch::Tensor>& second,
             const torch::Tensor& learning_rate);

  const FlatParameters& parameters_;
  const TrainSettings settings_;
  const MomentsFormat moments_;
  const MastersFormat masters_;
  const bool has_kernel_;  // worker/train/adamw_kernel.h; what is below the state serves the way without it
  torch::Tensor master_, first_moments_, second_moments_;
  torch::Tensor step_count_, all_steps_;  // fp32, one element each
  torch::Tensor first_scales_, second_scales_, table_;  // kByte only
  torch::Tensor gradient_;                     // all gradients, fp32; only where nothing is rounded
  std::vector<torch::Tensor> gradient_views_;  // of each leaf
};

}  // namespace espalier
