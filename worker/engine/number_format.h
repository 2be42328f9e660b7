// A candidate is measured as it will be stored: its trained weights are rounded to the checkpoint's number format
// first.
#pragma once

#include "common/domain/model_config.h"
#include "worker/model/language_model.h"

namespace espalier {

torch::ScalarType ScalarTypeOf(NumberFormat format);

// A model that shares nothing with `model`: every weight rounded to `format`, then held as `dtype` on the same device.
// Tied embeddings stay tied; fused projections are laid out singly.
LanguageModel RoundedCopy(const LanguageModel& model, NumberFormat format, torch::ScalarType dtype);

}  // namespace espalier
