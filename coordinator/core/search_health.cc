#include "coordinator/core/search_health.h"

#include <algorithm>
#include <set>
#include <string>
#include <vector>

namespace espalier {
namespace {

double MeanDifference(const std::vector<const Mask*>& masks) {
  int64_t differing = 0;
  int64_t compared = 0;
  for (size_t a = 0; a < masks.size(); ++a) {
    for (size_t b = a + 1; b < masks.size(); ++b) {
      const size_t units = std::min(masks[a]->levels.size(), masks[b]->levels.size());
      for (size_t unit = 0; unit < units; ++unit) differing += masks[a]->levels[unit] != masks[b]->levels[unit];
      compared += static_cast<int64_t>(units);
    }
  }
  return compared == 0 ? 0 : static_cast<double>(differing) / static_cast<double>(compared);
}

void AddPopulation(const std::vector<CandidateView>& candidates, const GenerationView& last, SearchHealth* health) {
  std::vector<double> fitness;
  std::vector<const Mask*> masks;
  std::set<std::string> digests;
  for (const CandidateView& candidate : candidates) {
    if (candidate.generation != last.generation || candidate.phase != last.phase) continue;
    masks.push_back(&candidate.mask);
    digests.insert(candidate.mask_digest);
    if (candidate.by_stage.empty() || !candidate.by_stage.back().second.feasible) continue;
    fitness.push_back(candidate.by_stage.back().second.fitness);
  }
  health->diversity_ratio = MeanDifference(masks);
  if (!masks.empty()) health->unique_ratio = static_cast<double>(digests.size()) / static_cast<double>(masks.size());
  if (fitness.empty()) return;
  std::sort(fitness.begin(), fitness.end());
  health->best_fitness = fitness.front();
  const auto rank = [&](size_t tenths) { return fitness[std::min(fitness.size() - 1, fitness.size() * tenths / 10)]; };
  health->p10_fitness = rank(1);
  health->median_fitness = rank(5);
  health->p90_fitness = rank(9);
  health->worst_fitness = fitness.back();
}

}  // namespace

SearchHealth HealthOf(const JobProgram& program, int64_t dense_cost, const SearchHealth& earlier) {
  const std::vector<GenerationView> generations = program.Generations();
  if (static_cast<int>(generations.size()) == earlier.generations) return earlier;
  SearchHealth health;
  health.generations = static_cast<int>(generations.size());
  if (generations.empty()) return health;
  const GenerationView& last = generations.back();
  health.rank_agreement = last.rank_agreement;
  for (auto view = generations.rbegin() + 1; view != generations.rend() && view->parent_digest == last.parent_digest; ++view) {
    ++health.stagnation;
  }
  const std::vector<CandidateView> candidates = program.Candidates();
  AddPopulation(candidates, last, &health);
  for (const CandidateView& candidate : candidates) {
    if (candidate.mask_digest != last.parent_digest || dense_cost <= 0) continue;
    health.parent_size_ratio = static_cast<double>(candidate.cost) / static_cast<double>(dense_cost);
    break;
  }
  return health;
}

}  // namespace espalier
