#include "worker/train/learning_rate.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace espalier {

double LearningRate(const TrainSettings& settings, int64_t step, int64_t planned_steps) {
  const double rate = settings.learning_rate;
  if (step < settings.warmup_steps) return rate * static_cast<double>(step + 1) / settings.warmup_steps;
  const int64_t falling_steps = planned_steps - settings.warmup_steps;
  if (planned_steps == 0 || settings.cosine_to == 1) return rate;
  if (falling_steps <= 0) return rate * settings.cosine_to;
  const double share =
      std::min(1.0, static_cast<double>(step - settings.warmup_steps) / static_cast<double>(falling_steps));
  return rate * (settings.cosine_to + (1 - settings.cosine_to) * 0.5 * (1 + std::cos(std::numbers::pi * share)));
}

}  // namespace espalier
