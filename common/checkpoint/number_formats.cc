#include "common/checkpoint/number_formats.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "common/base/check.h"

namespace espalier::checkpoint {

static_assert(std::endian::native == std::endian::little, "files hold little-endian numbers, read as they lie");

float HalfToFloat(uint16_t bits) {
  const uint32_t sign = static_cast<uint32_t>(bits & 0x8000u) << 16;
  const uint32_t exponent = (bits >> 10) & 0x1fu;
  const uint32_t mantissa = bits & 0x3ffu;
  if (exponent == 0) {
    const float magnitude = std::ldexp(static_cast<float>(mantissa), -24);
    return sign != 0 ? -magnitude : magnitude;
  }
  const uint32_t wide = exponent == 31 ? 255u : exponent + 112u;
  return std::bit_cast<float>(sign | (wide << 23) | (mantissa << 13));
}

float BFloat16ToFloat(uint16_t bits) { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }

uint16_t FloatToHalf(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const auto sign = static_cast<uint16_t>((bits >> 16) & 0x8000u);
  const uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return sign | 0x7e00u;
  if (magnitude >= 0x477ff000u) return sign | 0x7c00u;  // from halfway above the largest half, 65504, up to infinity
  if (magnitude < 0x38800000u) {                        // below the least normal half, 2^-14: a multiple of 2^-24
    const float scaled = std::ldexp(std::bit_cast<float>(magnitude), 24);
    return sign | static_cast<uint16_t>(std::nearbyint(scaled));
  }
  const uint32_t rounded = magnitude + 0xfffu + ((magnitude >> 13) & 1u);
  return sign | static_cast<uint16_t>((rounded >> 13) - (112u << 10));
}

uint16_t FloatToBFloat16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>((bits >> 16) | 0x40u);
  return static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

std::vector<float> ToFloats(Dtype dtype, std::string_view bytes) {
  const auto width = static_cast<size_t>(BytesOf(dtype));
  std::vector<float> values(bytes.size() / width);
  if (dtype == Dtype::kFloat32) {
    std::memcpy(values.data(), bytes.data(), bytes.size());
    return values;
  }
  ESPALIER_CHECK(dtype == Dtype::kFloat16 || dtype == Dtype::kBFloat16);
  for (size_t i = 0; i < values.size(); ++i) {
    uint16_t bits = 0;
    std::memcpy(&bits, bytes.data() + 2 * i, 2);
    values[i] = dtype == Dtype::kFloat16 ? HalfToFloat(bits) : BFloat16ToFloat(bits);
  }
  return values;
}

std::string FromFloats(Dtype dtype, const std::vector<float>& values) {
  std::string bytes(values.size() * static_cast<size_t>(BytesOf(dtype)), '\0');
  if (dtype == Dtype::kFloat32) {
    std::memcpy(bytes.data(), values.data(), bytes.size());
    return bytes;
  }
  ESPALIER_CHECK(dtype == Dtype::kFloat16 || dtype == Dtype::kBFloat16);
  for (size_t i = 0; i < values.size(); ++i) {
    const uint16_t bits = dtype == Dtype::kFloat16 ? FloatToHalf(values[i]) : FloatToBFloat16(values[i]);
    std::memcpy(bytes.data() + 2 * i, &bits, 2);
  }
  return bytes;
}

std::string ToQ8(const std::vector<float>& values) {
  ESPALIER_CHECK(values.size() % kQ8BlockSize == 0);
  std::string bytes;
  bytes.reserve(values.size() / kQ8BlockSize * kQ8BlockBytes);
  for (size_t begin = 0; begin < values.size(); begin += kQ8BlockSize) {
    float largest = 0;
    for (int i = 0; i < kQ8BlockSize; ++i) largest = std::max(largest, std::fabs(values[begin + i]));
    const float scale = largest / 127.0f;
    const float inverse = scale != 0 ? 1.0f / scale : 0.0f;
    const uint16_t bits = FloatToHalf(scale);
    bytes.append(reinterpret_cast<const char*>(&bits), 2);
    for (int i = 0; i < kQ8BlockSize; ++i)
      bytes.push_back(static_cast<char>(static_cast<int8_t>(std::round(values[begin + i] * inverse))));
  }
  return bytes;
}

}  // namespace espalier::checkpoint
