// Weights from one number format to another, element by element, without LibTorch.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/checkpoint/safetensors.h"

namespace espalier::checkpoint {

float HalfToFloat(uint16_t bits);
float BFloat16ToFloat(uint16_t bits);
uint16_t FloatToHalf(float value);      // to nearest, ties to even; what is too large becomes infinite
uint16_t FloatToBFloat16(float value);  // to nearest, ties to even; a NaN stays one

// `bytes` are elements of F32, F16 or BF16 (other dtypes are a bug of the caller), little-endian.
std::vector<float> ToFloats(Dtype dtype, std::string_view bytes);

// Little-endian bytes of F32, F16 or BF16 elements.
std::string FromFloats(Dtype dtype, const std::vector<float>& values);

// ggml's Q8_0: blocks of 32 elements, each a half-precision scale (largest magnitude / 127) and 32 signed bytes. The
// number of values is a multiple of 32.
constexpr int kQ8BlockSize = 32;
constexpr int kQ8BlockBytes = 34;
std::string ToQ8(const std::vector<float>& values);

}  // namespace espalier::checkpoint
