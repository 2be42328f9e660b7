#include "worker/engine/train_formats.h"

#include <algorithm>
#include <iterator>

#include "absl/strings/str_cat.h"

namespace espalier {
namespace {

constexpr int64_t kFloat32Gradient = 4;  // on top of fp32 masters and moments, where the optimiser is not one kernel

struct Choice {
  TrainFormats formats;
  bool recomputed = false;  // whether a window that is computed again is room enough
};

// The widest first; MomentsFormat and MastersFormat say what the bytes are spent on.
constexpr Choice kChoices[] = {{{MastersFormat::kFloat32, MomentsFormat::kFloat32, 16}, false},
                               {{MastersFormat::kFloat32, MomentsFormat::kBFloat16, 12}, false},
                               {{MastersFormat::kFloat32, MomentsFormat::kByte, 11}, false},
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

TrainFormats ChooseTrainFormats(int64_t parameters, bool has_kernel, const TrainingRoom& room) {
  TrainFormats chosen;
  for (const Choice& choice : kChoices) {
    chosen = choice.formats;
    const bool is_widest = chosen.masters == MastersFormat::kFloat32 && chosen.moments == MomentsFormat::kFloat32;
    if (is_widest && !has_kernel) chosen.bytes_per_parameter += kFloat32Gradient;
    const int64_t window = choice.recomputed ? std::min(room.window, room.recomputed_window) : room.window;
    if (parameters * chosen.bytes_per_parameter + window <= room.available) break;
  }
  return chosen;
}

int64_t LeastTrainingBytes() { return std::rbegin(kChoices)->formats.bytes_per_parameter; }

std::string Describe(MastersFormat masters, MomentsFormat moments) {
  return absl::StrCat(masters == MastersFormat::kFloat32 ? "fp32 masters" : "bf16 weights rounded stochastically without masters",
                      ", moments in ", NameOf(moments));
}

}  // namespace espalier
