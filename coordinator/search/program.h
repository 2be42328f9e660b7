// JobProgram as it is: the parts in their order. Internal to this folder.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "coordinator/search/bank_progress.h"
#include "coordinator/search/curves.h"
#include "coordinator/search/evolution.h"
#include "coordinator/search/job_program.h"
#include "coordinator/search/play_off.h"
#include "coordinator/search/search_plan.h"

namespace espalier {

// bank -> additive (every unit alone; the uniform mask is a yardstick meanwhile) -> search -> play-off -> finish.
class SearchProgram final : public JobProgram {
 public:
  SearchProgram(SearchPlan plan, int64_t planned_train_tokens);

  std::vector<Task> Wanted() const override;
  int64_t WantedRevision() const override;
  int NumLeft(const std::string& task_id) const override;
  absl::Status Tell(const std::string& task_id, const TaskOutcome& outcome) override;
  absl::Status Check(const std::string& task_id, const TaskOutcome& outcome) const override;
  absl::Status TellFailed(const std::string& task_id, const std::string& reason) override;
  void TellWallTimeStop() override;
  void TellArtifactLost(const std::string& artifact_digest) override;
  bool finished() const override { return step_ == Step::kDone || failure_.has_value(); }
  std::optional<std::string> failure() const override { return failure_; }
  std::vector<StateKey> LiveStates() const override;
  JobProgress Progress() const override;
  std::vector<CandidateView> Candidates() const override;
  std::vector<CandidateView> CandidatesWhere(const std::function<bool(const CandidateView&)>& is_wanted) const override;
  std::vector<GenerationView> Generations() const override;
  const JobResult& result() const override { return result_; }

 private:
  enum class Step { kBank, kAdditive, kSearch, kPlayOff, kFinish, kDone };

  const WantedTasks* ListWith(const std::string& task_id) const;  // nullptr when no part wants it
  absl::Status CheckWanted(const std::string& task_id) const;
  void Dispatch(const WantedTasks* list, const Task& task, const TaskOutcome& outcome);
  void Count(const WantedTasks* list, const Task& task, const TaskOutcome& outcome);

  // Steps.
  void Advance();
  void BankCompleted();
  void WantAdditiveUnits();
  void BeginSearch();
  void BeginFinish();
  void WantFinish();
  void FillResult();
  void FillYardstick(const std::string& name, const Mask& mask);
  void Fail(const std::string& reason);

  const SearchPlan plan_;
  const int64_t planned_train_tokens_;
  Step step_ = Step::kBank;
  std::optional<std::string> failure_;
  Tally tally_;         // of the search
  Tally curves_tally_;  // of everything else
  int64_t num_evaluations_ = 0;
  int64_t peak_bytes_ = 0;
  std::map<int, int64_t> bank_bytes_;  // by layer

  Bank bank_;
  BankProgress bank_progress_;
  WantedTasks additive_wanted_;
  std::vector<std::vector<double>> additive_scores_;  // by unit and level; empty until told
  Curves curves_;
  Evolution evolution_;
  PlayOff play_off_;
  WantedTasks finish_wanted_;

  Mask uniform_;
  Mask additive_;
  int additive_total_ = 0;
  std::string additive_warning_;
  Mask winner_;
  std::string winner_digest_;
  std::string winner_id_;
  std::optional<FinishOutcome> finish_;
  JobResult result_;
};

}  // namespace espalier
