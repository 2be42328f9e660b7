// The learning-rate schedule: constant in search stages, warm-up and cosine in recovery.
#pragma once

#include <cstdint>

#include "common/domain/job.h"

namespace espalier {

// Rate of the step with this index (from 0). Steps 0 .. warmup_steps - 1 rise linearly to learning_rate; then a half
// cosine falls to learning_rate * cosine_to, reached at planned_steps and held. planned_steps 0: constant after the
// warm-up.
double LearningRate(const TrainSettings& settings, int64_t step, int64_t planned_steps);

}  // namespace espalier
