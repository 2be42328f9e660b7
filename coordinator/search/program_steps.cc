// How one part of a job follows another, and what is seen of it from outside.
#include <algorithm>
#include <iterator>

#include "common/base/check.h"
#include "coordinator/search/first_parent.h"
#include "coordinator/search/program.h"
#include "coordinator/search/task_factory.h"
#include "coordinator/search/uniform.h"

namespace espalier {

void SearchProgram::Advance() {
  if (finished() || !bank_progress_.is_complete()) return;
  if (bank_progress_.Refresh(&bank_)) BankCompleted();
  if (step_ == Step::kAdditive && additive_wanted_.empty()) BeginSearch();
  if (step_ == Step::kSearch && evolution_.is_over()) {
    step_ = Step::kPlayOff;
    play_off_.Start(bank_, evolution_.Finalists());
  }
  if (step_ == Step::kPlayOff && play_off_.is_decided()) BeginFinish();
  if (step_ == Step::kFinish && finish_.has_value() && curves_.wanted().empty() && !finished()) {
    FillResult();
    step_ = Step::kDone;
  }
}

// The first time, and again whenever a rebuilt layer made a new revision: earlier measurements keep theirs, what runs
// is measured again.
void SearchProgram::BankCompleted() {
  curves_.Rebase(bank_);
  switch (step_) {
    case Step::kBank:
    case Step::kAdditive:
      step_ = Step::kAdditive;
      WantAdditiveUnits();
      break;
    case Step::kSearch: evolution_.BankChanged(); break;
    case Step::kPlayOff: play_off_.Restart(bank_); break;
    case Step::kFinish:
      winner_ = WithinTarget(plan_, bank_, winner_);
      winner_digest_ = Digest(plan_.ladder, winner_);
      WantFinish();
      break;
    case Step::kDone: break;
  }
}

void SearchProgram::WantAdditiveUnits() {
  uniform_ = UniformMask(plan_.ladder, bank_.cost, plan_.target);
  curves_.WantOneShot(bank_, OneShotKind::kYardstick, uniform_);
  additive_wanted_.Clear();
  additive_scores_.assign(plan_.ladder.units.size(), {});
  std::vector<int> units;
  for (int unit = 0; unit < static_cast<int>(plan_.ladder.units.size()); ++unit) {
    if (plan_.ladder.units[unit].num_levels() > 1) {
      units.push_back(unit);
    } else {
      additive_scores_[unit] = {0.0};
    }
  }
  // Longest first: every level runs the layers from its own to the last.
  const auto work = [&](int unit) {
    return plan_.ladder.units[unit].num_levels() *
           (plan_.inputs.dense.num_layers - plan_.ladder.units[unit].unit.layer);
  };
  std::stable_sort(units.begin(), units.end(), [&](int a, int b) { return work(a) > work(b); });
  for (int unit : units) additive_wanted_.Add(AdditiveUnit(plan_, bank_, unit));
  additive_total_ = additive_wanted_.size();
}

void SearchProgram::BeginSearch() {
  absl::StatusOr<AdditiveOptimum> optimum = SolveAdditive(plan_, bank_, additive_scores_);
  if (!optimum.ok()) {
    const absl::string_view message = optimum.status().message();
    Fail(std::string(message.data(), message.size()));
    return;
  }
  additive_ = std::move(optimum->mask);
  additive_warning_ = std::move(optimum->warning);
  curves_.WantOneShot(bank_, OneShotKind::kYardstick, additive_);
  evolution_.AddCandidate("uniform", 0, 0, uniform_);
  evolution_.AddCandidate("additive", 0, 0, additive_);
  step_ = Step::kSearch;
  if (plan_.spec.first_parent == FirstParent::kGiven) {
    const absl::StatusOr<Mask> given = GivenFirstParent(plan_, bank_);
    ESPALIER_CHECK(given.ok());  // ResolveJob has read the same mask
    evolution_.Start(*given);
  } else {
    evolution_.Start(plan_.spec.first_parent == FirstParent::kUniform ? uniform_ : additive_);
  }
}

void SearchProgram::BeginFinish() {
  const Finalist* winner = play_off_.Winner();
  if (winner == nullptr) {
    Fail(play_off_.Reason());
    return;
  }
  winner_ = winner->mask;
  winner_digest_ = winner->digest;
  winner_id_ = winner->id;
  step_ = Step::kFinish;
  WantFinish();
}

void SearchProgram::WantFinish() {
  curves_.WantOneShot(bank_, OneShotKind::kYardstick, winner_);
  if (plan_.spec.recover_yardsticks && plan_.spec.recovery.tokens > 0) {
    curves_.WantRecovered(bank_, uniform_);
    curves_.WantRecovered(bank_, additive_);
  }
  if (finish_.has_value()) return;  // exported already, from the bank as it was
  finish_wanted_.Clear();
  finish_wanted_.Add(Finish(plan_, bank_, winner_, evolution_.ReachedBy(winner_digest_)));
}

void SearchProgram::FillYardstick(const std::string& name, const Mask& mask) {
  const std::string digest = Digest(plan_.ladder, mask);
  const Measurement* one_shot = curves_.Yardstick(digest);
  if (one_shot == nullptr) return;  // infeasible
  Yardstick yardstick;
  yardstick.mask = mask;
  yardstick.parameters = ParametersOf(plan_, bank_, mask);
  yardstick.one_shot_fitness = one_shot->fitness;
  yardstick.one_shot_perplexity = one_shot->perplexity;
  if (const Measurement* recovered = curves_.Recovered(digest); recovered != nullptr)
    yardstick.recovered_perplexity = recovered->perplexity;
  result_.yardsticks[name] = std::move(yardstick);
}

void SearchProgram::FillResult() {
  result_.dense_parameters = CountParameters(plan_.inputs.dense);
  result_.parameters = ParametersOf(plan_, bank_, winner_);
  result_.target_parameters = plan_.spec.cost.kind == CostKind::kParameters ? plan_.target : 0;
  result_.mask = winner_;
  result_.mask_digest = winner_digest_;
  if (const Measurement* one_shot = curves_.Yardstick(winner_digest_); one_shot != nullptr) {
    result_.one_shot_fitness = one_shot->fitness;
    result_.one_shot_perplexity = one_shot->perplexity;
    result_.fitness = one_shot->fitness;  // of a search without generations
    result_.fitness_standard_error = one_shot->standard_error;
  }
  const Measurement* last_stage = evolution_.LastStageOf(winner_digest_);
  if (last_stage == nullptr && play_off_.Winner()->measurement.has_value())
    last_stage = &*play_off_.Winner()->measurement;
  if (last_stage != nullptr) {
    result_.fitness = last_stage->fitness;
    result_.fitness_standard_error = last_stage->standard_error;
  }
  result_.dense_perplexity = finish_->measurement.dense_perplexity;
  result_.perplexity = finish_->measurement.perplexity;
  FillYardstick("uniform", uniform_);
  FillYardstick("additive", additive_);
  result_.sequence_length = plan_.spec.sequence_length;
  result_.generations = static_cast<int>(evolution_.generations().size());
  result_.trained_tokens = tally_.trained_tokens + curves_tally_.trained_tokens;
  result_.scored_tokens = tally_.scored_tokens + curves_tally_.scored_tokens;
  result_.engine_seconds = tally_.engine_seconds + curves_tally_.engine_seconds;
  result_.stopped_because = evolution_.stopped_because();
  result_.chosen_because = play_off_.Reason();
  if (!additive_warning_.empty()) result_.warnings.push_back(additive_warning_);
  result_.finish = finish_;
}

JobProgress SearchProgram::Progress() const {
  JobProgress progress;
  evolution_.Describe(&progress);
  progress.trained_tokens = tally_.trained_tokens + curves_tally_.trained_tokens;
  progress.scored_tokens = tally_.scored_tokens + curves_tally_.scored_tokens;
  progress.planned_train_tokens = planned_train_tokens_;
  progress.num_evaluations = num_evaluations_;
  progress.engine_seconds = tally_.engine_seconds + curves_tally_.engine_seconds;
  progress.peak_bytes = peak_bytes_;
  for (const auto& [layer, bytes] : bank_bytes_) progress.bank_bytes += bytes;
  const auto set = [&](const char* step, int done, int total) {
    progress.step = step;
    progress.tasks_done = done;
    progress.tasks_total = total;
  };
  if (!bank_progress_.is_complete()) {
    set("bank", bank_progress_.num_built(), bank_progress_.num_layers());
    return progress;
  }
  switch (step_) {
    case Step::kBank: set("bank", 0, bank_progress_.num_layers()); break;
    case Step::kAdditive: set("additive", additive_total_ - additive_wanted_.size(), additive_total_); break;
    case Step::kSearch: progress.step = "search"; break;
    case Step::kPlayOff:
      set("play_off", play_off_.num_finalists() - play_off_.wanted().size(), play_off_.num_finalists());
      break;
    case Step::kFinish: set("finish", finish_.has_value() ? 1 : 0, 1 + curves_.wanted().size()); break;
    case Step::kDone: set("done", 1, 1); break;
  }
  return progress;
}

std::vector<CandidateView> SearchProgram::Candidates() const { return evolution_.candidates(); }

std::vector<CandidateView> SearchProgram::CandidatesWhere(
    const std::function<bool(const CandidateView&)>& is_wanted) const {
  std::vector<CandidateView> candidates;
  std::copy_if(evolution_.candidates().begin(), evolution_.candidates().end(), std::back_inserter(candidates), is_wanted);
  return candidates;
}

std::vector<GenerationView> SearchProgram::Generations() const {
  std::vector<GenerationView> generations = evolution_.generations();
  for (GenerationView& generation : generations) {
    if (const Measurement* one_shot = curves_.OneShot(generation.parent_digest); one_shot != nullptr)
      generation.one_shot_fitness = one_shot->fitness;
  }
  return generations;
}

}  // namespace espalier
