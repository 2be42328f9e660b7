#include "worker/engine/train_formats.h"

#include <iterator>

#include "absl/strings/str_cat.h"

namespace espalier {
namespace {

constexpr int64_t kFloat32Gradient = 4;  // on top of fp32 masters and moments, where the optimiser is not one kernel

// MomentsFormat and MastersFormat say what the bytes are spent on.
constexpr FormatChoice kFormatChoices[] = {{{MastersFormat::kFloat32, MomentsFormat::kFloat32, 16}, false},
                                           {{MastersFormat::kFloat32, MomentsFormat::kBFloat16, 12}, false},
                                           {{MastersFormat::kFloat32, MomentsFormat::kByte, 11}, true},
                                           {{MastersFormat::kBFloat16, MomentsFormat::kBFloat16, 8}, true},
                                           {{MastersFormat::kBFloat16, MomentsFormat::kByte, 7}, true}};

const char* NameOf(MomentsFormat format) {
  switch (format) {
    case MomentsFormat::kFloat32: return "float32";
    case MomentsFormat::kBFloat16: return "bfloat16";
    case MomentsFormat::kByte: return "8 bits";
  }
  return "?";
}

}  // namespace

std::span<const FormatChoice> FormatChoices() { return kFormatChoices; }

int64_t BytesOfParameter(const TrainFormats& formats, bool has_kernel) {
  const bool is_widest = formats.masters == MastersFormat::kFloat32 && formats.moments == MomentsFormat::kFloat32;
  return formats.bytes_per_parameter + (is_widest && !has_kernel ? kFloat32Gradient : 0);
}

int64_t LeastTrainingBytes() { return std::rbegin(kFormatChoices)->formats.bytes_per_parameter; }

std::string Describe(MastersFormat masters, MomentsFormat moments) {
  return absl::StrCat(masters == MastersFormat::kFloat32 ? "fp32 masters" : "bf16 weights rounded stochastically without masters",
                      ", moments in ", NameOf(moments));
}

}  // namespace espalier
