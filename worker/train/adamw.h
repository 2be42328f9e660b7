// AdamW over flat tensors (Loshchilov and Hutter, arXiv 1711.05101; decoupled decay on all parameters, as PyTorch's
// default and DarwinLM's runs). The state stays on the device and the learning rate and the step count are tensors
// there, so that a step can be captured as a CUDA graph.
#pragma once

#include <ATen/core/Generator.h>
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
  FlatAdamW(const FlatParameters& parameters, const TrainSettings& settings, MomentsFormat format);

  // One step. `gradients` are the leaves' gradients in the leaves' order and format; undefined ones count as zero.
  // `learning_rate` is a tensor of one element (LearningRateDtype) on the device.
  void Step(const std::vector<torch::Tensor>& gradients, const torch::Tensor& learning_rate);

  // After `master` was written to: brings the compute weights up to it.
  void PublishMaster();
  // The compute weights become the masters, with moments as new.
  void TakeWeights();
  void ClearMoments();

  // The same tensor as the parameters' buffer when that is fp32.
  const torch::Tensor& master() const { return master_; }
  const torch::Tensor& first_moments() const { return first_moments_; }
  const torch::Tensor& second_moments() const { return second_moments_; }
  // Of bytes only, else undefined.
  const torch::Tensor& first_scales() const { return first_scales_; }
  const torch::Tensor& second_scales() const { return second_scales_; }
  // Takes over moments in any format; scales are those of bytes. False, and nothing is changed, when they do not fit.
  bool SetMoments(const torch::Tensor& first, const torch::Tensor& first_scales, const torch::Tensor& second,
                  const torch::Tensor& second_scales);
  const torch::Tensor& step_count() const { return step_count_; }  // fp32, one element

  // For stochastic rounding to bf16; undefined with other moments and where the kernel does it. A graph that captures Step must know it.
  const at::Generator& generator() const { return generator_; }

  torch::ScalarType LearningRateDtype() const;  // what the kernels read: fp32 on a GPU, fp64 on CPU

 private:
  // Part of a leaf's gradient that lies in a chunk.
  struct Overlap {
    int leaf = 0;
    int64_t leaf_begin = 0;
    int64_t chunk_begin = 0;
    int64_t length = 0;
  };
  struct Chunk {
    int64_t begin = 0;
    int64_t length = 0;
    std::vector<Overlap> overlaps;
  };

  torch::Tensor ClipOf(const std::vector<torch::Tensor>& gradients) const;  // undefined: no clipping
  void StepWhole(const std::vector<torch::Tensor>& gradients, const torch::Tensor& learning_rate);
  void StepBytes(const std::vector<torch::Tensor>& gradients, const torch::Tensor& learning_rate);
  void StepChunk(const Chunk& chunk, const std::vector<torch::Tensor>& gradients, const torch::Tensor& clip,
                 const torch::Tensor& learning_rate);
  void Apply(const std::vector<torch::Tensor>& master, const std::vector<torch::Tensor>& gradient,
             const std::vector<torch::Tensor>& first, const std::vector<torch::Tensor>& second,
             const torch::Tensor& learning_rate);
  void MakeChunks();

  const FlatParameters& parameters_;
  const TrainSettings settings_;
  const MomentsFormat format_;
  const bool has_kernel_;  // worker/train/adamw_kernel.h; what is below the state serves the way without it
  torch::Tensor master_, first_moments_, second_moments_, step_count_;
  torch::Tensor first_scales_, second_scales_, table_;  // kByte only
  torch::Tensor gradient_;                     // fp32 moments only: all gradients, fp32
  std::vector<torch::Tensor> gradient_views_;  // of each leaf
  std::vector<Chunk> chunks_;                  // bf16 moments only
  at::Generator generator_;
};

// fp32 to bf16, up or down with the probability of the distance: the mean is kept, so small changes are not lost.
void RoundStochastically(const torch::Tensor& from_float, const torch::Tensor& to_bfloat16,
                         const at::Generator& generator);

}  // namespace espalier
