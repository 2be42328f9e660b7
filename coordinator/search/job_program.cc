#include "coordinator/search/job_program.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "coordinator/search/outcome_check.h"
#include "coordinator/search/program.h"

namespace espalier {

absl::StatusOr<std::unique_ptr<JobProgram>> JobProgram::Create(const std::string& job_id, const JobSpec& resolved,
                                                               const JobInputs& inputs) {
  ESPALIER_ASSIGN_OR_RETURN(const JobPreview preview, ResolveJob(resolved, inputs));
  ESPALIER_ASSIGN_OR_RETURN(SearchPlan plan, MakeSearchPlan(job_id, preview.resolved, inputs));
  return std::unique_ptr<JobProgram>(std::make_unique<SearchProgram>(std::move(plan), preview.train_tokens));
}

std::vector<CandidateView> JobProgram::CandidatesWhere(
    const std::function<bool(const CandidateView&)>& is_wanted) const {
  std::vector<CandidateView> candidates = Candidates();
  std::erase_if(candidates, [&](const CandidateView& candidate) { return !is_wanted(candidate); });
  return candidates;
}

SearchProgram::SearchProgram(SearchPlan plan, int64_t planned_train_tokens)
    : plan_(std::move(plan)),
      planned_train_tokens_(planned_train_tokens),
      bank_progress_(&plan_),
      curves_(&plan_),
      evolution_(&plan_, &bank_, &tally_, &curves_),
      play_off_(&plan_) {}

std::vector<Task> SearchProgram::Wanted() const {
  if (finished()) return {};
  // Everything else reads the bank: while a layer is missing, nothing else can succeed.
  std::vector<Task> tasks;
  const auto add = [&](const WantedTasks& list) {
    for (const auto& [place, task] : list.tasks()) tasks.push_back(task);
  };
  if (!bank_progress_.is_complete()) {
    add(bank_progress_.wanted());
    return tasks;
  }
  for (const WantedTasks* list :
       {&additive_wanted_, &evolution_.wanted(), &play_off_.wanted(), &finish_wanted_, &curves_.wanted()}) {
    add(*list);
  }
  return tasks;
}

int64_t SearchProgram::WantedRevision() const {
  int64_t revision = 0;  // a sum of what only rises; its last bits say which of the lists are shown
  for (const WantedTasks* list : {&bank_progress_.wanted(), &additive_wanted_, &evolution_.wanted(),
                                  &play_off_.wanted(), &finish_wanted_, &curves_.wanted()}) {
    revision += list->revision();
  }
  return revision * 4 + (finished() ? 2 : 0) + (bank_progress_.is_complete() ? 1 : 0);
}

const WantedTasks* SearchProgram::ListWith(const std::string& task_id) const {
  for (const WantedTasks* list : {&bank_progress_.wanted(), &additive_wanted_, &evolution_.wanted(),
                                  &play_off_.wanted(), &finish_wanted_, &curves_.wanted()}) {
    if (list->Find(task_id) != nullptr) return list;
  }
  return nullptr;
}

int SearchProgram::NumLeft(const std::string& task_id) const {
  const WantedTasks* list = ListWith(task_id);
  if (list == &evolution_.wanted()) return evolution_.NumLeft();
  return list == nullptr ? 0 : list->size();
}

absl::Status SearchProgram::CheckWanted(const std::string& task_id) const {
  if (!finished() && ListWith(task_id) != nullptr) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("task ", task_id, " is not wanted: it was told before, or its stage has ended"));
}

absl::Status SearchProgram::Check(const std::string& task_id, const TaskOutcome& outcome) const {
  ESPALIER_RETURN_IF_ERROR(CheckWanted(task_id));
  return CheckOutcome(plan_, bank_, *ListWith(task_id)->Find(task_id), outcome);
}

absl::Status SearchProgram::Tell(const std::string& task_id, const TaskOutcome& outcome) {
  ESPALIER_RETURN_IF_ERROR(Check(task_id, outcome));
  const WantedTasks* list = ListWith(task_id);
  const Task task = *list->Find(task_id);
  Count(list, task, outcome);
  Dispatch(list, task, outcome);
  Advance();
  return absl::OkStatus();
}

absl::Status SearchProgram::TellFailed(const std::string& task_id, const std::string& reason) {
  ESPALIER_RETURN_IF_ERROR(CheckWanted(task_id));
  const WantedTasks* list = ListWith(task_id);
  const Task task = *list->Find(task_id);
  if (task.kind() != TaskKind::kEvaluate) {
    Fail(absl::StrCat("task ", task_id, " was given up: ", reason));
    return absl::OkStatus();
  }
  Measurement measurement;
  measurement.feasible = false;
  measurement.infeasible_reason = reason;
  Dispatch(list, task, measurement);
  Advance();
  return absl::OkStatus();
}

void SearchProgram::Count(const WantedTasks* list, const Task& task, const TaskOutcome& outcome) {
  Tally* tally = list == &curves_.wanted() || list == &finish_wanted_ ? &curves_tally_ : &tally_;
  if (const auto* measurement = std::get_if<Measurement>(&outcome)) {
    ++num_evaluations_;
    peak_bytes_ = std::max(peak_bytes_, measurement->peak_bytes);
    tally->trained_tokens += measurement->trained_tokens;
    tally->scored_tokens += measurement->scored_tokens;
    tally->engine_seconds += measurement->assemble_seconds + measurement->train_seconds + measurement->score_seconds;
  } else if (const auto* additive = std::get_if<AdditiveUnitOutcome>(&outcome)) {
    tally->scored_tokens += additive->scored_tokens;
    tally->engine_seconds += additive->seconds;
  } else if (const auto* layer = std::get_if<BankLayerOutcome>(&outcome)) {
    tally->engine_seconds += layer->seconds;
    bank_bytes_[std::get<BankLayerTask>(task.payload).layer] = layer->artifact_bytes;
  } else if (const auto* finish = std::get_if<FinishOutcome>(&outcome)) {
    const Measurement& measured = finish->measurement;
    tally->trained_tokens += measured.trained_tokens;
    tally->scored_tokens += measured.scored_tokens;
    tally->engine_seconds += measured.assemble_seconds + measured.train_seconds + measured.score_seconds;
  }
}

void SearchProgram::Dispatch(const WantedTasks* list, const Task& task, const TaskOutcome& outcome) {
  if (list == &bank_progress_.wanted()) {
    bank_progress_.Tell(task, std::get<BankLayerOutcome>(outcome));
  } else if (list == &additive_wanted_) {
    additive_scores_[std::get<AdditiveUnitTask>(task.payload).unit] =
        std::get<AdditiveUnitOutcome>(outcome).fitness_by_level;
    additive_wanted_.Remove(task.task_id);
  } else if (list == &evolution_.wanted()) {
    evolution_.Tell(task, std::get<Measurement>(outcome));
  } else if (list == &play_off_.wanted()) {
    play_off_.Tell(task, std::get<Measurement>(outcome));
  } else if (list == &curves_.wanted()) {
    curves_.Tell(task, std::get<Measurement>(outcome));
  } else {
    finish_ = std::get<FinishOutcome>(outcome);
    finish_wanted_.Remove(task.task_id);
    if (!finish_->measurement.feasible)
      Fail(absl::StrCat("the winner could not be finished: ", finish_->measurement.infeasible_reason));
  }
}

void SearchProgram::TellWallTimeStop() {
  if (finished() || step_ == Step::kPlayOff || step_ == Step::kFinish) return;
  evolution_.StopNow("wall_time");
  Advance();
}

void SearchProgram::TellArtifactLost(const std::string& artifact_digest) {
  if (!finished()) bank_progress_.TellLost(artifact_digest);
}

std::vector<StateKey> SearchProgram::LiveStates() const {
  if (finished()) return {};
  if (step_ != Step::kFinish) return evolution_.LiveStates();
  std::vector<StateKey> live;
  for (const auto& [place, task] : finish_wanted_.tasks()) {
    const FinishTask& finish = std::get<FinishTask>(task.payload);
    if (finish.start.has_value()) live.push_back(*finish.start);
  }
  return live;
}

void SearchProgram::Fail(const std::string& reason) {
  if (!failure_.has_value()) failure_ = reason;
}

}  // namespace espalier
