// How fitness fell: by generation, and by the device time that it took. Pure.
#pragma once

#include <string>
#include <vector>

#include "common/picture/markup.h"

namespace espalier {

struct FitnessPoint {
  int generation = 0;  // from 0
  double fitness = 0;
  double standard_error = 0;
  double one_shot_fitness = 0;  // 0: not measured
  double engine_seconds = 0;
};

struct FitnessLine {
  const char* css_class = "fitness";
  const char* one_shot_class = "oneshot";
  std::vector<FitnessPoint> points;
};

enum class FitnessBy { kGeneration, kDeviceTime };

// Fitness with a bar of one standard error each way; one-shot fitness as a further line where it was measured. Empty
// without generations. `width`: 860 for a whole page, about half of it for two side by side.
Html FitnessChart(const std::vector<FitnessLine>& lines, FitnessBy by, double width);

}  // namespace espalier
