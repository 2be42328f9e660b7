#include "coordinator/search/job_windows.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "coordinator/search/stage_plan.h"

namespace espalier {
namespace {

// The stage with the most tokens of this kind over the phases' generations.
struct LargestStage {
  std::string field;
  int64_t value = 0;
  double tokens = 0;

  void Look(const std::string& name, int64_t stage_tokens, int generations) {
    const double all = static_cast<double>(stage_tokens) * generations;
    if (all > tokens) *this = {name, stage_tokens, all};
  }
};

}  // namespace

JobWindows WindowsOfJob(const JobPreview& preview) {
  const JobSpec& spec = preview.resolved;
  JobWindows windows;
  if (spec.sequence_length <= 0) return windows;
  double largest = 0;
  const auto add = [&](const std::string& field, int64_t value, double tokens) {
    const double count = std::max(tokens, 0.0) / spec.sequence_length;
    windows.total += count;
    if (count <= largest) return;
    largest = count;
    windows.largest_field = field;
    windows.largest_value = value;
  };
  const std::vector<int> generations = GenerationsByPhase(spec);
  LargestStage train, score;
  for (size_t p = 0; p < spec.phases.size(); ++p) {
    for (size_t s = 0; s < spec.phases[p].stages.size(); ++s) {
      const std::string stage = absl::StrCat("phases[", p, "].stages[", s, "]");
      train.Look(stage + ".train_tokens", spec.phases[p].stages[s].train_tokens, generations[p]);
      score.Look(stage + ".score_tokens", spec.phases[p].stages[s].score_tokens, generations[p]);
    }
  }
  // The first parent and each phase's winner play off; the preview counts them among what is trained.
  const bool is_search = std::any_of(generations.begin(), generations.end(), [](int count) { return count > 0; });
  double play_off = is_search ? static_cast<double>(spec.phases.size() + 1) * static_cast<double>(spec.play_off.tokens) : 0;
  if (spec.stop.token_budget > 0) play_off = std::min(play_off, static_cast<double>(spec.stop.token_budget));
  add("play_off.tokens", spec.play_off.tokens, play_off);
  add(train.field, train.value, static_cast<double>(preview.train_tokens) - play_off);
  add(score.field.empty() ? "report_score_tokens" : score.field, score.field.empty() ? spec.report_score_tokens : score.value,
      static_cast<double>(preview.score_tokens));
  add("recovery.tokens", spec.recovery.tokens,
      static_cast<double>(spec.recovery.tokens) * (spec.recover_yardsticks ? 3 : 1));
  add("calibration_tokens", spec.calibration_tokens, static_cast<double>(spec.calibration_tokens));
  return windows;
}

}  // namespace espalier
