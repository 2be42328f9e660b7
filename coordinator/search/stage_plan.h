// What a stage trains and scores, and what a generation of them costs. Per draw there is one training stream; stage s
// ends at its budget. CONTINUE consumes what lies between the last stage's end and its own, RESTART reads the stream
// from its start; no step crosses any stage's end, also when a parent runs straight through.
#pragma once

#include <cstdint>
#include <vector>

#include "common/domain/job.h"
#include "common/domain/windows.h"

namespace espalier {

// WindowKey::phase of the draws that belong to no phase; jobs have fewer phases.
inline constexpr int kMaxPhases = 1000;
inline constexpr int kAdditiveDraws = kMaxPhases;
inline constexpr int kPlayOffDraws = kMaxPhases + 1;
inline constexpr int kRecoveryDraws = kMaxPhases + 2;

// Where the phase's stages end, ascending, each once, without 0.
std::vector<int64_t> StageEnds(const Phase& phase);

enum class StageStart {
  kByMode,    // CONTINUE: where the last stage ended
  kStraight,  // from the stream's start: the parent, which joins in the last stage
};
StreamRange TrainRange(const JobSpec& spec, int phase, int draw, int stage, StageStart start);

struct GenerationTokens {
  int64_t train_tokens = 0;
  int64_t score_tokens = 0;  // whole windows
  int64_t num_evaluations = 0;
  bool operator==(const GenerationTokens&) const = default;
};

// Of a generation in which everything is feasible. `parent_is_reused`: its measurement in the last stage is there
// already.
GenerationTokens TokensOfGeneration(const JobSpec& spec, int phase, bool parent_is_reused);

// How many generations each phase gets when stop.generations cuts the list in order.
std::vector<int> GenerationsByPhase(const JobSpec& spec);

// Whether stopping looks at the select windows in this phase: new parents are then measured there too.
bool HasPatience(const JobSpec& spec, const Phase& phase);

}  // namespace espalier
