#include "coordinator/search/evolution.h"

#include <limits>
#include <set>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "coordinator/search/first_parent.h"
#include "coordinator/search/stage_plan.h"
#include "coordinator/search/task_factory.h"

namespace espalier {

Evolution::Evolution(const SearchPlan* plan, const Bank* bank, const Tally* tally, Curves* curves)
    : plan_(plan), bank_(bank), tally_(tally), curves_(curves), generations_by_phase_(GenerationsByPhase(plan->spec)) {}

void Evolution::Start(const Mask& first_parent) {
  ESPALIER_CHECK(state_ == State::kNotStarted);
  first_parent_ = AddCandidate("first-parent", 0, 0, first_parent);
  parent_ = first_parent_;
  curves_->WantOneShot(*bank_, OneShotKind::kCurve, first_parent);
  if (!stopped_because_.empty()) {
    state_ = State::kOver;
    return;
  }
  phase_ended_because_ = "generations";
  state_ = State::kPhaseBegins;
  Advance();
}

void Evolution::StopNow(const std::string& because) {
  if (state_ == State::kOver || !stopped_because_.empty()) return;
  if (state_ == State::kNotStarted) {
    stopped_because_ = because;
  } else {
    Over(because);
  }
}

void Evolution::Over(const std::string& because) {
  wanted_.Clear();
  parent_task_.clear();
  stopped_because_ = because;
  state_ = State::kOver;
}

void Evolution::BankChanged() {
  if (state_ == State::kNotStarted || state_ == State::kOver) return;
  const Mask& before = candidates_[parent_].mask;
  const Mask within = WithinTarget(*plan_, *bank_, before);
  const bool was_measuring_parent = state_ == State::kMeasuringParent;
  wanted_.Clear();
  parent_task_.clear();
  parent_told_.reset();
  if (state_ == State::kStage) candidates_.resize(first_candidate_);
  if (within != before) {
    parent_ =
        AddCandidate(absl::StrCat("p", phase_, "/g", generation_, "/b", bank_->revision), phase_, generation_, within);
    curves_->WantOneShot(*bank_, OneShotKind::kCurve, within);
  }
  if (was_measuring_parent) {
    WantSelectOf(parent_);
  } else {
    state_ = state_ == State::kStage ? State::kGenerationBegins : State::kPhaseBegins;
  }
  Advance();
}

void Evolution::Tell(const Task& task, const Measurement& measurement) {
  const EvaluateTask evaluate = std::get<EvaluateTask>(task.payload);
  const std::string task_id = task.task_id;  // `task` may lie in wanted_
  wanted_.Remove(task_id);
  if (state_ == State::kStage && task_id == parent_task_ && !is_last_stage()) {
    parent_told_.emplace(evaluate, measurement);
  } else if (state_ == State::kStage) {
    const int member = member_of_task_.at(task_id);
    by_stage_[stage_][member] = measurement;
    told_tasks_[member] = evaluate;
    Record(member, stage_, measurement);
  } else {
    select_fitness_[SelectKey(parent_)] =
        measurement.feasible ? measurement.fitness : std::numeric_limits<double>::infinity();
  }
  Advance();
}

void Evolution::Advance() {
  while (state_ == State::kStage ? StageTasksLeft() == 0 : wanted_.empty()) {
    switch (state_) {
      case State::kPhaseBegins: BeginPhase(); break;
      case State::kMeasuringBaseline:
        patience_.BeginPhase(SelectFitnessOf(parent_));
        state_ = State::kGenerationBegins;
        break;
      case State::kGenerationBegins: BeginGeneration(); break;
      case State::kStage: EndStage(); break;
      case State::kMeasuringParent: AfterGeneration(SelectFitnessOf(parent_)); break;
      case State::kNotStarted:
      case State::kOver: return;
    }
  }
}

void Evolution::BeginPhase() {
  if (phase_ >= static_cast<int>(plan_->spec.phases.size()) || generations_by_phase_[phase_] == 0) {
    Over(phase_ended_because_);
    return;
  }
  generation_in_phase_ = 0;
  if (HasPatience(plan_->spec, phase())) {
    state_ = State::kMeasuringBaseline;
    WantSelectOf(parent_);
  } else {
    state_ = State::kGenerationBegins;
  }
}

void Evolution::EndPhase(const std::string& because) {
  phase_winners_.push_back(parent_);
  phase_ended_because_ = because;
  ++phase_;
  state_ = State::kPhaseBegins;
}

void Evolution::AfterGeneration(double select_fitness) {
  if (HasPatience(plan_->spec, phase())) patience_.GenerationEnded(select_fitness);
  ++generation_;
  ++generation_in_phase_;
  if (patience_.IsJobOver(plan_->spec.stop)) {
    Over("patience");
  } else if (patience_.IsPhaseOver(phase())) {
    EndPhase("patience");
  } else {
    state_ = State::kGenerationBegins;
  }
}

int Evolution::AddCandidate(const std::string& id, int phase, int generation, const Mask& mask) {
  CandidateView candidate;
  candidate.id = id;
  candidate.phase = phase;
  candidate.generation = generation;
  candidate.mask = mask;
  candidate.mask_digest = Digest(plan_->ladder, mask);
  candidate.cost = bank_->cost.Of(mask);
  candidates_.push_back(std::move(candidate));
  return static_cast<int>(candidates_.size()) - 1;
}

std::string Evolution::SelectKey(int candidate) const {
  return absl::StrCat(phase_, "/", bank_->revision, "/", candidates_[candidate].mask_digest);
}

void Evolution::WantSelectOf(int candidate) {
  if (!select_fitness_.contains(SelectKey(candidate)))
    wanted_.Add(SelectEvaluation(*plan_, *bank_, phase_, candidates_[candidate].mask));
}

double Evolution::SelectFitnessOf(int candidate) const {
  const auto found = select_fitness_.find(SelectKey(candidate));
  return found == select_fitness_.end() ? std::numeric_limits<double>::infinity() : found->second;
}

int Evolution::MaxFinalists() const {
  std::set<std::string> digests = {candidates_[first_parent_].mask_digest};
  for (int winner : phase_winners_) digests.insert(candidates_[winner].mask_digest);
  return static_cast<int>(digests.size()) + 1;  // and the last parent
}

std::vector<Finalist> Evolution::Finalists() const {
  std::vector<int> order = {first_parent_};
  order.insert(order.end(), phase_winners_.begin(), phase_winners_.end());
  order.push_back(parent_);
  std::vector<Finalist> finalists;
  for (int candidate : order)
    finalists.push_back(
        {candidates_[candidate].id, candidates_[candidate].mask, candidates_[candidate].mask_digest, std::nullopt});
  return finalists;
}

const Measurement* Evolution::LastStageOf(const std::string& digest) const {
  const auto found = last_stages_.find(digest);
  return found == last_stages_.end() ? nullptr : &found->second.measurement;
}

const EvaluateTask* Evolution::ReachedBy(const std::string& digest) const {
  const auto found = last_stages_.find(digest);
  return found == last_stages_.end() ? nullptr : &found->second.task;
}

}  // namespace espalier
