// Presets: named job specifications. A user's fields are put over one (flags beat the job file, the job file beats the
// preset); ResolveJob then fills what is still zero.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "common/domain/job.h"

namespace espalier {

// DARWINLM is the published schedule to the letter (arXiv 2502.07780 and its code): UNIFORM, query heads one by one with
// k and v whole, at most 11 levels, same-kind switches only, RESTART, 200 generations of 16 offspring, survivors 8/4/2/1,
// train tokens 10k/50k/100k/200k, score tokens 1k/2k/4k/8k, learning rate 1e-5, cross-entropy, new windows in every
// generation. It deviates on purpose in: physical shrinking, true cost, fp32 master weights, packed windows, and the
// final choice (first parent or last, compared one-shot on the select windows).
//
// BALANCED, the default: ADDITIVE, then generations whose first stage only scores and whose later ones train with KL to
// the dense model at a rate that moves the weights, CONTINUE, cross-kind switches, and a play-off with a short recovery.
// On a CPU its budgets are about a third of those on a GPU, so that a model of a few million parameters is searched in
// minutes on two cores.
JobSpec PresetSpec(Preset preset, DeviceKind device);

// "balanced", "DARWINLM", ...: case does not matter. kInvalidArgument lists the names.
absl::StatusOr<Preset> ParsePreset(const std::string& name);

}  // namespace espalier
