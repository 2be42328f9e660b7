#include "coordinator/search/stage_plan.h"

#include <algorithm>

namespace espalier {

std::vector<int64_t> StageEnds(const Phase& phase) {
  std::vector<int64_t> ends;
  for (const Stage& stage : phase.stages) {
    if (stage.train_tokens > 0) ends.push_back(stage.train_tokens);
  }
  std::sort(ends.begin(), ends.end());
  ends.erase(std::unique(ends.begin(), ends.end()), ends.end());
  return ends;
}

StreamRange TrainRange(const JobSpec& spec, int phase, int draw, int stage, StageStart start) {
  const Phase& of = spec.phases[phase];
  StreamRange range;
  range.key = {Pool::kTrain, spec.seed, phase, draw};
  range.end = of.stages[stage].train_tokens;
  if (spec.mode == TrainMode::kContinue && start == StageStart::kByMode && stage > 0)
    range.begin = of.stages[stage - 1].train_tokens;
  range.stage_ends = StageEnds(of);
  return range;
}

GenerationTokens TokensOfGeneration(const JobSpec& spec, int phase, bool parent_is_reused) {
  const Phase& of = spec.phases[phase];
  GenerationTokens tokens;
  int64_t members = of.offspring;
  const int last = static_cast<int>(of.stages.size()) - 1;
  for (int stage = 0; stage <= last; ++stage) {
    const int64_t score = WindowsForTokens(of.stages[stage].score_tokens, spec.sequence_length) * spec.sequence_length;
    const StreamRange range = TrainRange(spec, phase, 0, stage, StageStart::kByMode);
    tokens.train_tokens += members * (range.end - range.begin);
    tokens.score_tokens += members * score;
    tokens.num_evaluations += members;
    if (stage == last && !parent_is_reused) {
      tokens.train_tokens += range.end;
      tokens.score_tokens += score;
      ++tokens.num_evaluations;
    }
    members = std::min<int64_t>(members, of.stages[stage].survivors);
  }
  return tokens;
}

std::vector<int> GenerationsByPhase(const JobSpec& spec) {
  std::vector<int> generations;
  int64_t left = spec.stop.generations.has_value() ? *spec.stop.generations : INT32_MAX;
  for (const Phase& phase : spec.phases) {
    generations.push_back(static_cast<int>(std::min<int64_t>(phase.generations, left)));
    left -= generations.back();
  }
  return generations;
}

bool HasPatience(const JobSpec& spec, const Phase& phase) { return phase.patience > 0 || spec.stop.patience > 0; }

}  // namespace espalier
