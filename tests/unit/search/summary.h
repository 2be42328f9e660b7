// What must be equal when two runs were the same search.
#pragma once

#include <string>

#include "absl/strings/str_cat.h"
#include "coordinator/search/job_program.h"

namespace espalier::testing {

// Every candidate, generation and number that a search came to, as text.
inline std::string Summary(const JobProgram& program) {
  std::string text;
  for (const CandidateView& candidate : program.Candidates()) {
    absl::StrAppend(&text, candidate.id, " ", candidate.mask_digest, candidate.is_parent ? " parent" : "");
    for (const auto& [stage, measurement] : candidate.by_stage) {
      absl::StrAppend(&text, " ", stage, ":", measurement.feasible ? measurement.fitness : -1);
    }
    absl::StrAppend(&text, "\n");
  }
  for (const GenerationView& generation : program.Generations()) {
    absl::StrAppend(&text, "g", generation.generation, " ", generation.parent_digest, " ", generation.fitness, " ",
                    generation.trained_tokens, " ", generation.scored_tokens, " ", generation.one_shot_fitness, " ",
                    generation.rank_agreement, "\n");
  }
  const JobResult& result = program.result();
  absl::StrAppend(&text, result.mask_digest, " ", result.fitness, " ", result.one_shot_fitness, " ",
                  result.trained_tokens, " ", result.scored_tokens, " ", result.perplexity, " ", result.stopped_because,
                  " ", result.chosen_because);
  return text;
}

}  // namespace espalier::testing
