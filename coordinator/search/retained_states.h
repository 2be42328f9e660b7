// How much the candidates of a generation keep between their stages in CONTINUE mode, and in what form when the job does not
// say. A function of the specification and the model's size alone, never of a machine's memory: the form is part of what a
// candidate's training is, so the search would depend on the machine.
#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "coordinator/search/search_plan.h"

namespace espalier {

// FULL states up to this size in all fit a quarter of the memory of common GPU hosts (or the device beside the candidates in
// training) and come and go between stages faster than a stage trains; above it they would go to disk.
inline constexpr int64_t kFullStatesUpToBytes = int64_t{32} << 30;

// The most that is retained at once, for candidates of the target's share of the dense parameters; 0 with RESTART.
int64_t RetainedBytes(const SearchPlan& plan, ContinueState state);

// For a specification (a user's fields over the preset's) that leaves continue_state open. Errors as ResolveJob.
absl::StatusOr<ContinueState> ContinueStateBySize(const JobSpec& spec, const JobInputs& inputs);

const char* Name(ContinueState state);  // "FULL", "WEIGHTS_BF16"

}  // namespace espalier
