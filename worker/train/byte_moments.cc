#include "worker/train/byte_moments.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/full.h>
#include <ATen/ops/pad.h>
#include <ATen/ops/searchsorted.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros_like.h>

#include <algorithm>
#include <cmath>

namespace espalier {
namespace {

constexpr int kDecades = 7;
constexpr int64_t kPieceElements = int64_t{1} << 22;  // of one temporary, whole blocks

// Each power of ten is divided into twice as many equal parts as the one below it, and a part is named by its middle.
std::array<float, 256> MakeValues(MomentKind kind) {
  const bool is_signed = kind == MomentKind::kFirst;
  std::vector<double> values = {0, 1};
  for (int decade = 0; decade < kDecades; ++decade) {
    const int parts = is_signed ? 1 << decade : 2 << decade;
    const double unit = std::pow(10.0, decade - (kDecades - 1));
    for (int part = 0; part < parts; ++part) {
      const double middle = unit * (0.1 + 0.9 * (part + 0.5) / parts);
      values.push_back(middle);
      if (is_signed) values.push_back(-middle);
    }
  }
  std::sort(values.begin(), values.end());
  if (is_signed) values.front() = -1;  // a block's largest is exact, of either sign
  std::array<float, 256> table;
  std::transform(values.begin(), values.end(), table.begin(), [](double value) { return static_cast<float>(value); });
  return table;
}

torch::Tensor TableOf(MomentKind kind, torch::Device device) {
  const std::array<float, 256>& values = MomentValues(kind);
  return at::from_blob(const_cast<float*>(values.data()), {256}, torch::kFloat32).to(device, torch::kFloat32, false, true);
}

template <typename Visit>
void ForPieces(const FlatParameters& parameters, const Visit& visit) {
  const std::vector<int64_t> first_blocks = MomentBlocks(parameters);
  for (size_t leaf = 0; leaf < parameters.leaves.size(); ++leaf) {
    const int64_t elements = parameters.leaves[leaf].numel();
    for (int64_t begin = 0; begin < elements; begin += kPieceElements) {
      const int64_t length = std::min(kPieceElements, elements - begin);
      visit(parameters.offsets[leaf] + begin, length, first_blocks[leaf] + begin / kMomentBlock,
            (length + kMomentBlock - 1) / kMomentBlock);
    }
  }
}

}  // namespace

const std::array<float, 256>& MomentValues(MomentKind kind) {
  static const std::array<float, 256> first = MakeValues(MomentKind::kFirst), second = MakeValues(MomentKind::kSecond);
  return kind == MomentKind::kFirst ? first : second;
}

torch::Tensor MomentTable(torch::Device device) {
  return at::cat({TableOf(MomentKind::kFirst, device), TableOf(MomentKind::kSecond, device)});
}

std::vector<int64_t> MomentBlocks(const FlatParameters& parameters) {
  std::vector<int64_t> first_blocks = {0};
  for (const torch::Tensor& leaf : parameters.leaves) {
    const int64_t tiles = (leaf.numel() + kMomentTile - 1) / kMomentTile;
    first_blocks.push_back(first_blocks.back() + tiles * (kMomentTile / kMomentBlock));
  }
  return first_blocks;
}

void QuantizeMoments(MomentKind kind, const torch::Tensor& values, const torch::Tensor& bits, const torch::Tensor& codes,
                     const torch::Tensor& scales) {
  const int64_t missing = scales.numel() * kMomentBlock - values.numel();
  const torch::Tensor blocks = at::pad(values, {0, missing}).view({-1, kMomentBlock});
  scales.copy_(blocks.abs().amax(1));
  const torch::Tensor divisor = at::where(scales > 0, scales, at::full({}, 1.0, scales.options())).unsqueeze(1);
  const torch::Tensor x = blocks.div(divisor).view({-1}).narrow(0, 0, values.numel());
  const torch::Tensor table = TableOf(kind, values.device());
  torch::Tensor code = at::searchsorted(table, x, false, /*right=*/true).sub(1).clamp(0, 254);
  const torch::Tensor below = table.index_select(0, code), above = table.index_select(0, code.add(1));
  code = code.add(bits.to(torch::kFloat32).mul(1.0 / 65536).lt(x.sub(below).div(above.sub(below))));
  if (kind == MomentKind::kSecond) code = at::where(x > 0, code.clamp_min(1), code);
  codes.copy_(code);
}

torch::Tensor ExpandMoments(MomentKind kind, const torch::Tensor& codes, const torch::Tensor& scales) {
  const torch::Tensor values = TableOf(kind, codes.device()).index_select(0, codes.to(torch::kInt32));
  return values.mul_(scales.repeat_interleave(kMomentBlock).narrow(0, 0, codes.numel()));
}

void QuantizeAllMoments(MomentKind kind, const FlatParameters& parameters, const torch::Tensor& flat, const ByteMoments& to) {
  ForPieces(parameters, [&](int64_t begin, int64_t length, int64_t first_block, int64_t blocks) {
    const torch::Tensor values = flat.narrow(0, begin, length).to(to.codes.device(), torch::kFloat32);
    const torch::Tensor nearest = at::full({length}, 0x8000, values.options().dtype(torch::kInt64));
    QuantizeMoments(kind, values, nearest, to.codes.narrow(0, begin, length), to.scales.narrow(0, first_block, blocks));
  });
}

void ExpandAllMoments(MomentKind kind, const FlatParameters& parameters, const ByteMoments& from, const torch::Tensor& flat) {
  flat.zero_();
  ForPieces(parameters, [&](int64_t begin, int64_t length, int64_t first_block, int64_t blocks) {
    flat.narrow(0, begin, length).copy_(
        ExpandMoments(kind, from.codes.narrow(0, begin, length), from.scales.narrow(0, first_block, blocks)));
  });
}

}  // namespace espalier
