// Adam's moments in a byte each: block-wise dynamic quantisation (Dettmers et al., "8-bit Optimizers via Block-wise
// Quantization", arXiv 2110.02861). A block of 256 neighbours shares a scale, its largest magnitude; a byte names one of 256
// values between -1 and 1 (first moments) or 0 and 1 (second moments), which lie the denser the nearer they are to 0, over
// seven powers of ten.
//
// Two things differ from the paper. Values are rounded up or down with the probability of their distance, by bits that are a
// function of (element, step): rounded to nearest a second moment would hardly ever change, since a step moves it by a
// thousandth. And what is above 0 never becomes 0, so that no first moment is divided by a second moment that was lost.
#pragma once

#include <torch/types.h>

#include <array>
#include <cstdint>
#include <vector>

#include "worker/train/flat_parameters.h"

namespace espalier {

inline constexpr int64_t kMomentBlock = 256;
// Blocks are counted by whole tiles of a leaf, as the kernel walks over it: a leaf's first block begins a tile.
inline constexpr int64_t kMomentTile = 2048;

enum class MomentKind { kFirst, kSecond };

// The values that a byte names, ascending; 0 and the ends are among them.
const std::array<float, 256>& MomentValues(MomentKind kind);
// Both kinds' values one after the other, on the device.
torch::Tensor MomentTable(torch::Device device);

// The first block of each leaf, and behind them the number of all.
std::vector<int64_t> MomentBlocks(const FlatParameters& parameters);

// One kind of moments of all parameters: uint8 in the layout of the flat buffer, fp32 one a block.
struct ByteMoments {
  torch::Tensor codes, scales;
};

// `values`: fp32, the whole of some blocks or the end of a leaf; `bits`: 16 random ones an element (0x8000: to nearest; BitsFor of
// worker/train/stochastic_rounding.h).
// Writes codes (uint8, as many) and scales (fp32, one a block).
void QuantizeMoments(MomentKind kind, const torch::Tensor& values, const torch::Tensor& bits, const torch::Tensor& codes,
                     const torch::Tensor& scales);
// The fp32 values that they stand for.
torch::Tensor ExpandMoments(MomentKind kind, const torch::Tensor& codes, const torch::Tensor& scales);

// The same for all leaves, from and to a flat fp32 or bf16 tensor; rounded to nearest.
void QuantizeAllMoments(MomentKind kind, const FlatParameters& parameters, const torch::Tensor& flat, const ByteMoments& to);
void ExpandAllMoments(MomentKind kind, const FlatParameters& parameters, const ByteMoments& from, const torch::Tensor& flat);

}  // namespace espalier
