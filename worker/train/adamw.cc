#include "worker/train/adamw.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/_foreach_copy.h>
#include <ATen/ops/_foreach_norm.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>

#include <algorithm>

#include "worker/train/adamw_kernel.h"
#include "worker/train/byte_moments.h"

#ifdef ESPALIER_HAS_CUDA
#include <ATen/cuda/CUDAGeneratorImpl.h>
#endif

namespace espalier {
namespace {

// Elements of one temporary of the chunked step: 3 fp32 temporaries of it are 0.4 GB.
constexpr int64_t kChunkElements = int64_t{1} << 25;
// Of one tensor handed to the fused kernel, whose block counts are 32-bit.
constexpr int64_t kLargestPart = int64_t{1} << 30;
constexpr uint64_t kRoundingSeed = 0x5ca1ab1e;

at::Generator MakeGenerator(torch::Device device) {
#ifdef ESPALIER_HAS_CUDA
  if (device.is_cuda()) {
    at::Generator generator = at::make_generator<at::CUDAGeneratorImpl>(device.index());
    generator.set_current_seed(kRoundingSeed);
    return generator;
  }
#endif
  return at::make_generator<at::CPUGeneratorImpl>(kRoundingSeed);
}

std::vector<torch::Tensor> Parts(const torch::Tensor& flat) {
  std::vector<torch::Tensor> parts;
  for (int64_t begin = 0; begin < flat.numel(); begin += kLargestPart) {
    parts.push_back(flat.narrow(0, begin, std::min(kLargestPart, flat.numel() - begin)));
  }
  return parts;
}

// The factor that brings a gradient of this norm down to clip_norm, at most 1 (as torch.nn.utils.clip_grad_norm_).
torch::Tensor ClipFactor(const torch::Tensor& norm, double clip_norm) {
  return (clip_norm / (norm + 1e-6)).clamp_max(1.0);
}

}  // namespace

void RoundStochastically(const torch::Tensor& from_float, const torch::Tensor& to_bfloat16,
                         const at::Generator& generator) {
  // bf16 is the upper half of fp32's bits: adding 16 random bits below and cutting them off rounds up with the right
  // probability, for either sign.
  torch::Tensor bits = torch::empty(from_float.sizes(), from_float.options().dtype(torch::kInt32));
  bits.random_(0, 1 << 16, generator);
  bits.add_(from_float.view(torch::kInt32)).bitwise_and_(static_cast<int32_t>(0xffff0000));
  to_bfloat16.copy_(bits.view(torch::kFloat32));
}

FlatAdamW::FlatAdamW(const FlatParameters& parameters, const TrainSettings& settings, MomentsFormat format)
    : parameters_(parameters), settings_(settings), format_(format), has_kernel_(HasAdamWKernel(parameters, format)) {
  const torch::NoGradGuard no_grad;
  const auto floats = parameters.flat.options().dtype(torch::kFloat32);
  master_ = parameters.flat.to(torch::kFloat32);  // the same tensor when it is fp32 already
  const auto moments = floats.dtype(format == MomentsFormat::kFloat32    ? torch::kFloat32
                                    : format == MomentsFormat::kBFloat16 ? torch::kBFloat16
                                                                         : torch::kUInt8);
  first_moments_ = torch::zeros({parameters.size()}, moments);
  second_moments_ = torch::zeros({parameters.size()}, moments);
  step_count_ = torch::zeros({}, floats);
  if (format == MomentsFormat::kByte) {
    first_scales_ = torch::zeros({MomentBlocks(parameters).back()}, floats);
    second_scales_ = torch::zeros_like(first_scales_);
    table_ = MomentTable(parameters.flat.device());
    ClearMoments();
  }
  if (has_kernel_ || format == MomentsFormat::kByte) return;
  if (format == MomentsFormat::kFloat32) {
    gradient_ = torch::zeros({parameters.size()}, floats);
    for (size_t i = 0; i < parameters.leaves.size(); ++i) {
      const torch::Tensor& leaf = parameters.leaves[i];
      gradient_views_.push_back(gradient_.narrow(0, parameters.offsets[i], leaf.numel()).view(leaf.sizes()));
    }
  } else {
    generator_ = MakeGenerator(parameters.flat.device());
    MakeChunks();
  }
}

torch::ScalarType FlatAdamW::LearningRateDtype() const { return master_.is_cuda() ? torch::kFloat32 : torch::kFloat64; }

void FlatAdamW::MakeChunks() {
  for (int64_t begin = 0; begin < parameters_.size(); begin += kChunkElements) {
    Chunk chunk{begin, std::min(kChunkElements, parameters_.size() - begin), {}};
    for (size_t i = 0; i < parameters_.leaves.size(); ++i) {
      const int64_t leaf = parameters_.offsets[i];
      const int64_t first = std::max(begin, leaf);
      const int64_t last = std::min(begin + chunk.length, leaf + parameters_.leaves[i].numel());
      if (first < last) chunk.overlaps.push_back({static_cast<int>(i), first - leaf, first - begin, last - first});
    }
    chunks_.push_back(std::move(chunk));
  }
}

void FlatAdamW::Step(const std::vector<torch::Tensor>& gradients, const torch::Tensor& learning_rate) {
  const torch::NoGradGuard no_grad;
  step_count_.add_(1);
  if (has_kernel_) {
    StepAdamW(parameters_, settings_, gradients, {master_, first_moments_, second_moments_, step_count_, first_scales_, second_scales_, table_},
              ClipOf(gradients), learning_rate);
    return;  // it has published
  }
  if (format_ == MomentsFormat::kFloat32) {
    StepWhole(gradients, learning_rate);
  } else if (format_ == MomentsFormat::kByte) {
    StepBytes(gradients, learning_rate);
  } else {
    // On CPU the rounding is a function of the step, so that a restored state goes on as the one that was saved.
    if (!master_.is_cuda())
      generator_.set_current_seed(kRoundingSeed + static_cast<uint64_t>(step_count_.item<float>()));
    const torch::Tensor clip = ClipOf(gradients);
    for (const Chunk& chunk : chunks_) StepChunk(chunk, gradients, clip, learning_rate);
  }
  PublishMaster();
}

torch::Tensor FlatAdamW::ClipOf(const std::vector<torch::Tensor>& gradients) const {
  std::vector<torch::Tensor> defined;
  for (const torch::Tensor& gradient : gradients) {
    if (gradient.defined()) defined.push_back(gradient);
  }
  if (settings_.clip_norm <= 0 || defined.empty()) return {};
  return ClipFactor(torch::stack(at::_foreach_norm(defined, 2, torch::kFloat32)).norm(), settings_.clip_norm);
}

void FlatAdamW::StepWhole(const std::vector<torch::Tensor>& gradients, const torch::Tensor& learning_rate) {
  std::vector<torch::Tensor> to, from;
  for (size_t i = 0; i < gradients.size(); ++i) {
    if (gradients[i].defined()) {
      to.push_back(gradient_views_[i]);
      from.push_back(gradients[i]);
    } else {
      gradient_views_[i].zero_();
    }
  }
  at::_foreach_copy_(to, from);
  if (settings_.clip_norm > 0) gradient_.mul_(ClipFactor(gradient_.norm(), settings_.clip_norm));
  Apply(Parts(master_), Parts(gradient_), Parts(first_moments_), Parts(second_moments_), learning_rate);
}

// Leaf by leaf in pieces of whole blocks: what the kernel does in one pass.
void FlatAdamW::StepBytes(const std::vector<torch::Tensor>& gradients, const torch::Tensor& learning_rate) {
  const torch::Tensor clip = ClipOf(gradients);
  const std::vector<int64_t> first_blocks = MomentBlocks(parameters_);
  for (size_t leaf = 0; leaf < parameters_.leaves.size(); ++leaf) {
    const int64_t elements = parameters_.leaves[leaf].numel();
    const torch::Tensor of_leaf = gradients[leaf].defined() ? gradients[leaf].reshape(-1) : torch::Tensor();
    for (int64_t begin = 0; begin < elements; begin += kChunkElements) {
      const int64_t length = std::min(kChunkElements, elements - begin), at = parameters_.offsets[leaf] + begin;
      const int64_t block = first_blocks[leaf] + begin / kMomentBlock, blocks = (length + kMomentBlock - 1) / kMomentBlock;
      torch::Tensor gradient = torch::zeros({length}, master_.options());
      if (of_leaf.defined()) gradient.copy_(of_leaf.narrow(0, begin, length));
      if (clip.defined()) gradient.mul_(clip);
      const torch::Tensor codes1 = first_moments_.narrow(0, at, length), codes2 = second_moments_.narrow(0, at, length);
      const torch::Tensor scales1 = first_scales_.narrow(0, block, blocks), scales2 = second_scales_.narrow(0, block, blocks);
      const torch::Tensor first = ExpandMoments(MomentKind::kFirst, codes1, scales1);
      const torch::Tensor second = ExpandMoments(MomentKind::kSecond, codes2, scales2);
      Apply({master_.narrow(0, at, length)}, {gradient}, {first}, {second}, learning_rate);
      const torch::Tensor bits = MomentRoundingBits(at, length, step_count_);
      QuantizeMoments(MomentKind::kFirst, first, bits.bitwise_and(0xffff), codes1, scales1);
      QuantizeMoments(MomentKind::kSecond, second, bits.__rshift__(16), codes2, scales2);
    }
  }
}

bool FlatAdamW::SetMoments(const torch::Tensor& first, const torch::Tensor& first_scales, const torch::Tensor& second,
                           const torch::Tensor& second_scales) {
  const torch::NoGradGuard no_grad;
  const auto fits = [&](const torch::Tensor& moments, const torch::Tensor& scales) {
    if (!moments.defined() || moments.numel() != parameters_.size()) return false;
    const bool is_bytes = moments.scalar_type() == torch::kUInt8;
    return !is_bytes || (scales.defined() && scales.numel() == MomentBlocks(parameters_).back());
  };
  if (!fits(first, first_scales) || !fits(second, second_scales)) return false;
  const auto set = [&](MomentKind kind, const torch::Tensor& from, const torch::Tensor& from_scales, const torch::Tensor& to,
                       const torch::Tensor& to_scales) {
    const bool from_bytes = from.scalar_type() == torch::kUInt8, to_bytes = to.scalar_type() == torch::kUInt8;
    if (from_bytes == to_bytes) to.copy_(from, true);
    if (from_bytes && to_bytes) to_scales.copy_(from_scales, true);
    if (!from_bytes && to_bytes) QuantizeAllMoments(kind, parameters_, from, {to, to_scales});
    if (from_bytes && !to_bytes) ExpandAllMoments(kind, parameters_, {from.to(to.device()), from_scales.to(to.device())}, to);
  };
  set(MomentKind::kFirst, first, first_scales, first_moments_, first_scales_);
  set(MomentKind::kSecond, second, second_scales, second_moments_, second_scales_);
  return true;
}

void FlatAdamW::StepChunk(const Chunk& chunk, const std::vector<torch::Tensor>& gradients, const torch::Tensor& clip,
                          const torch::Tensor& learning_rate) {
  const torch::Tensor gradient = torch::zeros({chunk.length}, master_.options());
  for (const Overlap& overlap : chunk.overlaps) {
    const torch::Tensor& leaf = gradients[overlap.leaf];
    if (!leaf.defined()) continue;
    gradient.narrow(0, overlap.chunk_begin, overlap.length)
        .copy_(leaf.reshape(-1).narrow(0, overlap.leaf_begin, overlap.length));
  }
  if (clip.defined()) gradient.mul_(clip);
  const torch::Tensor stored_first = first_moments_.narrow(0, chunk.begin, chunk.length);
  const torch::Tensor stored_second = second_moments_.narrow(0, chunk.begin, chunk.length);
  const torch::Tensor first = stored_first.to(torch::kFloat32), second = stored_second.to(torch::kFloat32);
  Apply({master_.narrow(0, chunk.begin, chunk.length)}, {gradient}, {first}, {second}, learning_rate);
  RoundStochastically(first, stored_first, generator_);
  RoundStochastically(second, stored_second, generator_);
}

void FlatAdamW::Apply(const std::vector<torch::Tensor>& master, const std::vector<torch::Tensor>& gradient,
                      const std::vector<torch::Tensor>& first, const std::vector<torch::Tensor>& second,
                      const torch::Tensor& learning_rate) {
  const std::vector<torch::Tensor> steps(master.size(), step_count_);
  at::_fused_adamw_(master, gradient, first, second, {}, steps, learning_rate, settings_.beta1, settings_.beta2,
                    settings_.weight_decay, settings_.epsilon, false, false);
}

void FlatAdamW::PublishMaster() {
  const torch::NoGradGuard no_grad;
  if (!master_.is_same(parameters_.flat)) parameters_.flat.copy_(master_);
}

void FlatAdamW::TakeWeights() {
  const torch::NoGradGuard no_grad;
  if (!master_.is_same(parameters_.flat)) master_.copy_(parameters_.flat);
  ClearMoments();
}

void FlatAdamW::ClearMoments() {
  const torch::NoGradGuard no_grad;
  // With scales of zero every byte stands for zero.
  for (const torch::Tensor& moments : {first_moments_, second_moments_, first_scales_, second_scales_}) {
    if (moments.defined()) moments.zero_();
  }
  step_count_.zero_();
}

}  // namespace espalier
