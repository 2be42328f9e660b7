#include "worker/train/adamw.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/_foreach_copy.h>
#include <ATen/ops/_foreach_norm.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>

#include <algorithm>

#include "common/base/check.h"
#include "worker/train/adamw_kernel.h"
#include "worker/train/byte_moments.h"
#include "worker/train/stochastic_rounding.h"

namespace espalier {
namespace {

// Of a piece of a leaf: a dozen temporaries of 4 or 8 bytes an element are about 1 GB at the most. Whole blocks of moments.
constexpr int64_t kStepPieceElements = int64_t{1} << 24;
// Of one tensor handed to the fused kernel, whose block counts are 32-bit.
constexpr int64_t kLargestPart = int64_t{1} << 30;

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

FlatAdamW::FlatAdamW(const FlatParameters& parameters, const TrainSettings& settings, MomentsFormat moments, MastersFormat masters)
    : parameters_(parameters),
      settings_(settings),
      moments_(moments),
      masters_(masters),
      has_kernel_(HasAdamWKernel(parameters, moments, masters)) {
  ESPALIER_CHECK(masters == MastersFormat::kFloat32 || parameters.flat.scalar_type() == torch::kBFloat16);
  const torch::NoGradGuard no_grad;
  const auto floats = parameters.flat.options().dtype(torch::kFloat32);
  // The same tensor when it has the format already.
  master_ = parameters.flat.to(masters == MastersFormat::kFloat32 ? torch::kFloat32 : torch::kBFloat16);
  const auto stored = floats.dtype(moments == MomentsFormat::kFloat32    ? torch::kFloat32
                                   : moments == MomentsFormat::kBFloat16 ? torch::kBFloat16
                                                                         : torch::kUInt8);
  first_moments_ = torch::zeros({parameters.size()}, stored);
  second_moments_ = torch::zeros({parameters.size()}, stored);
  step_count_ = torch::zeros({}, floats);
  all_steps_ = torch::zeros({}, floats);
  if (moments == MomentsFormat::kByte) {
    first_scales_ = torch::zeros({MomentBlocks(parameters).back()}, floats);
    second_scales_ = torch::zeros_like(first_scales_);
    table_ = MomentTable(parameters.flat.device());
    ClearMoments();
  }
  if (has_kernel_ || is_rounded()) return;
  gradient_ = torch::zeros({parameters.size()}, floats);
  for (size_t i = 0; i < parameters.leaves.size(); ++i) {
    const torch::Tensor& leaf = parameters.leaves[i];
    gradient_views_.push_back(gradient_.narrow(0, parameters.offsets[i], leaf.numel()).view(leaf.sizes()));
  }
}

torch::ScalarType FlatAdamW::LearningRateDtype() const { return master_.is_cuda() ? torch::kFloat32 : torch::kFloat64; }

void FlatAdamW::Step(const std::vector<torch::Tensor>& gradients, const torch::Tensor& learning_rate) {
  const torch::NoGradGuard no_grad;
  step_count_.add_(1);
  all_steps_.add_(1);
  if (has_kernel_) {
    StepAdamW(parameters_, settings_, gradients,
              {master_, first_moments_, second_moments_, step_count_, all_steps_, first_scales_, second_scales_, table_},
              ClipOf(gradients), learning_rate);
    return;  // it has published
  }
  if (is_rounded()) {
    StepPieces(gradients, learning_rate);
  } else {
    StepWhole(gradients, learning_rate);
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
  if (!to.empty()) at::_foreach_copy_(to, from);
  if (settings_.clip_norm > 0) gradient_.mul_(ClipFactor(gradient_.norm(), settings_.clip_norm));
  Apply(Parts(master_), Parts(gradient_), Parts(first_moments_), Parts(second_moments_), learning_rate);
}

// Leaf by leaf: what the kernel does in one pass.
void FlatAdamW::StepPieces(const std::vector<torch::Tensor>& gradients, const torch::Tensor& learning_rate) {
  const torch::Tensor clip = ClipOf(gradients);
  const std::vector<int64_t> first_blocks = MomentBlocks(parameters_);
  for (size_t leaf = 0; leaf < parameters_.leaves.size(); ++leaf) {
    const int64_t elements = parameters_.leaves[leaf].numel();
    const torch::Tensor of_leaf = gradients[leaf].defined() ? gradients[leaf].reshape(-1) : torch::Tensor();
    for (int64_t begin = 0; begin < elements; begin += kStepPieceElements) {
      const int64_t length = std::min(kStepPieceElements, elements - begin);
      const torch::Tensor gradient = torch::zeros({length}, step_count_.options());
      if (of_leaf.defined()) gradient.copy_(of_leaf.narrow(0, begin, length));
      if (clip.defined()) gradient.mul_(clip);
      StepPiece({parameters_.offsets[leaf] + begin, length, first_blocks[leaf] + begin / kMomentBlock}, gradient, learning_rate);
    }
  }
}

// In fp32, whatever is stored: expands it, takes the step, rounds what is not fp32 back.
void FlatAdamW::StepPiece(const Piece& piece, const torch::Tensor& gradient, const torch::Tensor& learning_rate) {
  const bool bytes = moments_ == MomentsFormat::kByte;
  const int64_t blocks = bytes ? (piece.length + kMomentBlock - 1) / kMomentBlock : 0;
  const auto stored = [&](const torch::Tensor& all) { return all.narrow(0, piece.begin, piece.length); };
  const auto scales = [&](const torch::Tensor& all) { return all.narrow(0, piece.first_block, blocks); };
  const auto expanded = [&](MomentKind kind, const torch::Tensor& all, const torch::Tensor& all_scales) {
    return bytes ? ExpandMoments(kind, stored(all), scales(all_scales)) : stored(all).to(torch::kFloat32);
  };
  const torch::Tensor master = stored(master_).to(torch::kFloat32);  // fp32 ones themselves
  const torch::Tensor first = expanded(MomentKind::kFirst, first_moments_, first_scales_);
  const torch::Tensor second = expanded(MomentKind::kSecond, second_moments_, second_scales_);
  Apply({master}, {gradient}, {first}, {second}, learning_rate);
  const torch::Tensor bits = RoundingBits(piece.begin, piece.length, all_steps_);
  const torch::Tensor bits1 = BitsFor(Rounded::kFirstMoment, bits), bits2 = BitsFor(Rounded::kSecondMoment, bits);
  if (masters_ == MastersFormat::kBFloat16) RoundStochastically(master, stored(master_), BitsFor(Rounded::kWeight, bits));
  if (bytes) {
    QuantizeMoments(MomentKind::kFirst, first, bits1, stored(first_moments_), scales(first_scales_));
    QuantizeMoments(MomentKind::kSecond, second, bits2, stored(second_moments_), scales(second_scales_));
  } else if (moments_ == MomentsFormat::kBFloat16) {
    RoundStochastically(first, stored(first_moments_), bits1);
    RoundStochastically(second, stored(second_moments_), bits2);
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
  all_steps_.zero_();
}

void FlatAdamW::SetSteps(int64_t moment_steps, int64_t all_steps) {
  const torch::NoGradGuard no_grad;
  step_count_.fill_(static_cast<double>(moment_steps));
  all_steps_.fill_(static_cast<double>(all_steps));
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
