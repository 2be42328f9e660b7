// One generation: offspring, stage after stage, the new parent, and what may still be needed of training states.
#include <algorithm>
#include <set>

#include "absl/strings/str_format.h"
#include "common/base/check.h"
#include "coordinator/search/evolution.h"
#include "coordinator/search/mutation.h"
#include "coordinator/search/stage_plan.h"
#include "coordinator/search/task_factory.h"

namespace espalier {

void Evolution::BeginGeneration() {
  if (generation_in_phase_ >= generations_by_phase_[phase_]) {
    EndPhase("generations");
    return;
  }
  int64_t tokens = TokensOfGeneration(plan_->spec, phase_, IsParentReusable()).train_tokens;
  if (HasPatience(plan_->spec, phase())) tokens += phase().stages.back().train_tokens;
  if (!FitsTokenBudget(plan_->spec, tally_->trained_tokens, tokens, MaxFinalists())) {
    Over("token_budget");
    return;
  }
  first_candidate_ = static_cast<int>(candidates_.size());
  by_stage_.clear();
  members_.clear();
  made_by_.clear();
  const MutationWeights weights = {phase().same_kind_weight, phase().cross_kind_weight};
  const std::vector<Offspring> offspring =
      DrawOffspring(candidates_[parent_].mask, plan_->ladder, bank_->cost, plan_->target, weights, plan_->spec.seed,
                    generation_, phase().offspring);
  for (size_t i = 0; i < offspring.size(); ++i) {
    members_.push_back(
        AddCandidate(absl::StrFormat("p%d/g%d/c%02d", phase_, generation_, i), phase_, generation_, offspring[i].mask));
    made_by_.push_back(offspring[i].by);
  }
  stage_ = 0;
  WantParent();
  EnterStage();
}

void Evolution::WantParent() {
  parent_task_.clear();
  parent_told_.reset();
  const int last = static_cast<int>(phase().stages.size()) - 1;
  if (last == 0 || members_.empty() || IsParentReusable()) return;
  Task task = StageEvaluation(*plan_, *bank_, {phase_, draw(), last}, generation_, candidates_[parent_].mask, StageStart::kStraight);
  parent_task_ = task.task_id;
  wanted_.Add(std::move(task));
}

// In the last stage: what the parent's task has told, or its place for when it does.
void Evolution::PlaceParent() {
  member_of_task_[parent_task_] = parent_;
  if (!parent_told_.has_value()) return;
  const auto& [task, measurement] = *parent_told_;
  by_stage_[stage_][parent_] = measurement;
  told_tasks_[parent_] = task;
  Record(parent_, stage_, measurement);
  parent_told_.reset();
}

void Evolution::EnterStage() {
  state_ = State::kStage;
  member_of_task_.clear();
  told_tasks_.clear();
  tasks_in_stage_ = 0;
  if (members_.empty() && parent_task_.empty()) {
    by_stage_.emplace_back();
    EndGeneration(parent_);
    return;
  }
  // With nobody left, only the parent's task is waited for.
  if (members_.empty()) stage_ = static_cast<int>(phase().stages.size()) - 1;
  by_stage_.resize(stage_ + 1);
  if (is_last_stage()) members_.insert(members_.begin(), parent_);
  for (int member : members_) {
    const CandidateView& candidate = candidates_[member];
    if (member == parent_ && IsParentReusable()) {
      by_stage_[stage_][member] = last_stages_.at(candidate.mask_digest).measurement;
      continue;
    }
    if (member == parent_ && !parent_task_.empty()) {
      PlaceParent();
      continue;
    }
    Task task = StageEvaluation(*plan_, *bank_, {phase_, draw(), stage_}, generation_, candidate.mask,
                                member == parent_ ? StageStart::kStraight : StageStart::kByMode);
    member_of_task_[task.task_id] = member;
    wanted_.Add(std::move(task));
  }
  tasks_in_stage_ = StageTasksLeft();
}

void Evolution::EndStage() {
  const std::vector<Ranked> ranked = Rank(MeasuredMembers());
  if (is_last_stage()) {
    EndGeneration(ranked.empty() ? parent_ : ranked.front().candidate);
    return;
  }
  members_.clear();
  for (size_t i = 0; i < ranked.size() && static_cast<int>(i) < phase().stages[stage_].survivors; ++i)
    members_.push_back(ranked[i].candidate);
  ++stage_;
  EnterStage();
}

void Evolution::EndGeneration(int winner) {
  CandidateView& candidate = candidates_[winner];
  candidate.is_parent = true;
  if (told_tasks_.contains(winner) && is_last_stage()) {
    last_stages_[candidate.mask_digest] = {phase_, draw(), bank_->revision, by_stage_[stage_].at(winner),
                                           told_tasks_.at(winner)};
  }
  GenerationView view;
  view.phase = phase_;
  view.generation = generation_;
  view.parent_digest = candidate.mask_digest;
  if (const Measurement* measurement = LastStageOf(candidate.mask_digest); measurement != nullptr) {
    view.fitness = measurement->fitness;
    view.standard_error = measurement->standard_error;
  }
  view.trained_tokens = tally_->trained_tokens;
  view.scored_tokens = tally_->scored_tokens;
  view.engine_seconds = tally_->engine_seconds;
  view.rank_agreement = AgreementOfStages();
  view.offspring = TallyOffspring();
  generations_.push_back(std::move(view));

  const bool is_new = winner != parent_;
  parent_ = winner;
  if (is_new) curves_->WantOneShot(*bank_, OneShotKind::kCurve, candidate.mask);
  state_ = State::kMeasuringParent;
  if (is_new && HasPatience(plan_->spec, phase())) WantSelectOf(winner);
}

// Before the winner takes the parent's place.
OffspringTallies Evolution::TallyOffspring() const {
  OffspringTallies tallies;
  for (const Operator by : made_by_) ++tallies[by].drawn;
  if (by_stage_.size() < phase().stages.size()) return tallies;
  const std::map<int, Measurement>& last = by_stage_.back();
  const auto parent = last.find(parent_);
  for (const auto& [member, measurement] : last) {
    if (member == parent_ || !measurement.feasible || parent == last.end()) continue;
    const bool is_better = !parent->second.feasible || measurement.fitness < parent->second.fitness;
    if (is_better) ++tallies[made_by_.at(static_cast<size_t>(member - first_candidate_))].improved;
  }
  return tallies;
}

bool Evolution::IsParentReusable() const {
  const auto found = last_stages_.find(candidates_[parent_].mask_digest);
  return found != last_stages_.end() && found->second.phase == phase_ && found->second.draw == draw() &&
         found->second.bank_revision == bank_->revision && found->second.measurement.feasible;
}

std::vector<Ranked> Evolution::MeasuredMembers() const {
  std::vector<Ranked> measured;
  for (const auto& [member, measurement] : by_stage_[stage_])
    measured.push_back({member, candidates_[member].mask_digest, measurement});
  return measured;
}

void Evolution::Record(int candidate, int stage, const Measurement& measurement) {
  auto& by_stage = candidates_[candidate].by_stage;
  const auto known =
      std::find_if(by_stage.begin(), by_stage.end(), [&](const auto& entry) { return entry.first == stage; });
  if (known != by_stage.end()) {
    known->second = measurement;  // a parent, measured again on new windows
  } else {
    by_stage.emplace_back(stage, measurement);
  }
}

// Between the first stage that trains (or the first at all, when only the last one trains) and the last.
double Evolution::AgreementOfStages() const {
  const int last = static_cast<int>(phase().stages.size()) - 1;
  if (static_cast<int>(by_stage_.size()) <= last) return 0;
  int first = 0;
  while (first < last && phase().stages[first].train_tokens == 0) ++first;
  if (first == last) first = 0;
  std::vector<double> a, b;
  for (const auto& [member, measurement] : by_stage_[last]) {
    const auto earlier = by_stage_[first].find(member);
    if (first == last || earlier == by_stage_[first].end() || !measurement.feasible) continue;
    a.push_back(earlier->second.fitness);
    b.push_back(measurement.fitness);
  }
  return RankAgreement(a, b);
}

std::vector<StateKey> Evolution::LiveStates() const {
  std::set<StateKey> live;
  const auto add = [&](const std::optional<StateKey>& key) {
    if (key.has_value()) live.insert(*key);
  };
  for (const auto& [place, task] : wanted_.tasks()) {
    const EvaluateTask& evaluate = std::get<EvaluateTask>(task.payload);
    add(evaluate.resume);
    add(evaluate.retain);
  }
  if (parent_told_.has_value()) add(parent_told_->first.retain);
  if (state_ == State::kStage) {
    // Whoever has as many better ones measured already as survive cannot survive.
    const std::vector<Ranked> ranked = Rank(MeasuredMembers());
    for (size_t i = 0; i < ranked.size() && static_cast<int>(i) < phase().stages[stage_].survivors; ++i) {
      if (const auto told = told_tasks_.find(ranked[i].candidate); told != told_tasks_.end()) add(told->second.retain);
    }
  }
  // Retained in a last stage only when recovery starts from the winner's state.
  if (parent_ >= 0) {
    for (const Finalist& finalist : Finalists()) {
      if (const EvaluateTask* reached = ReachedBy(finalist.digest); reached != nullptr) add(reached->retain);
    }
  }
  return {live.begin(), live.end()};
}

void Evolution::Describe(JobProgress* progress) const {
  progress->phase = phase_;
  progress->generation = generation_;
  for (int generations : generations_by_phase_) progress->num_generations += generations;
  if (state_ == State::kStage) {
    progress->stage = stage_;
    progress->num_stages = static_cast<int>(phase().stages.size());
    progress->tasks_total = tasks_in_stage_;
    progress->tasks_done = tasks_in_stage_ - StageTasksLeft();
  }
  if (parent_ < 0) return;
  progress->best_digest = candidates_[parent_].mask_digest;
  if (const Measurement* measurement = LastStageOf(progress->best_digest); measurement != nullptr) {
    progress->best_fitness = measurement->fitness;
    progress->best_standard_error = measurement->standard_error;
  }
}

}  // namespace espalier
