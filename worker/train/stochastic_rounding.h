// Rounding up or down with the probability of the distance. The mean is kept, so that what changes by less than half a unit of its
// format is not lost: AdamW's moments, and weights without an fp32 copy.
//
// The random bits are a function of (element, step) alone, here and in the kernels (worker/train/adamw_source.h): a step can be
// captured and replayed, and a state that was restored goes on as the one that was saved.
#pragma once

#include <torch/types.h>

#include <cstdint>

namespace espalier {

enum class Rounded { kFirstMoment, kSecondMoment, kWeight };

// 48 random bits for each of `count` elements from `first` on, as int64: 16 for each of what is rounded. `step` has one element.
torch::Tensor RoundingBits(int64_t first, int64_t count, const torch::Tensor& step);
// The 16 of them that are for `what`.
torch::Tensor BitsFor(Rounded what, const torch::Tensor& bits);

// fp32 to bf16 by 16 random bits an element. What bf16 can hold stays what it is; NaN stays NaN.
void RoundStochastically(const torch::Tensor& from_float, const torch::Tensor& to_bfloat16, const torch::Tensor& bits);

}  // namespace espalier
