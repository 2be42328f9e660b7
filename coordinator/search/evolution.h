// Generations in phases: offspring, stages, the new parent. Ask and tell over one stage at a time; which tasks are
// wanted next depends on the whole stage's outcomes and not on their order.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "coordinator/search/curves.h"
#include "coordinator/search/job_program.h"
#include "coordinator/search/play_off.h"
#include "coordinator/search/search_plan.h"
#include "coordinator/search/selection.h"
#include "coordinator/search/stop_rules.h"
#include "coordinator/search/wanted_tasks.h"

namespace espalier {

// What the committed tasks of the search consumed; curves are counted apart, because they may come at any time.
struct Tally {
  int64_t trained_tokens = 0;
  int64_t scored_tokens = 0;
  double engine_seconds = 0;
};

class Evolution {
 public:
  // `tally` is kept by the owner and read here; new parents are announced to `curves`.
  Evolution(const SearchPlan* plan, const Bank* bank, const Tally* tally, Curves* curves);

  void Start(const Mask& first_parent);
  // Everything so far stays; no more generations. Before Start: there will be none.
  void StopNow(const std::string& because);
  // The bank has a new revision: the running generation is measured again.
  void BankChanged();

  const WantedTasks& wanted() const { return wanted_; }
  // How many of them can be told, the last one among them, before anything changes for another task.
  int NumLeft() const { return state_ == State::kStage ? std::max(1, StageTasksLeft()) : wanted_.size(); }
  void Tell(const Task& task, const Measurement& measurement);
  bool is_over() const { return state_ == State::kOver; }
  const std::string& stopped_because() const { return stopped_because_; }

  std::vector<StateKey> LiveStates() const;
  std::vector<Finalist> Finalists() const;

  int AddCandidate(const std::string& id, int phase, int generation, const Mask& mask);
  void Describe(JobProgress* progress) const;
  const std::vector<CandidateView>& candidates() const { return candidates_; }
  const std::vector<GenerationView>& generations() const { return generations_; }

  // The last measurement of a mask that became parent, and the task that made it; nullptr when it never was measured in
  // a last stage.
  const Measurement* LastStageOf(const std::string& digest) const;
  const EvaluateTask* ReachedBy(const std::string& digest) const;

 private:
  enum class State {
    kNotStarted,
    kPhaseBegins,
    kMeasuringBaseline,
    kGenerationBegins,
    kStage,
    kMeasuringParent,
    kOver
  };

  // A measurement in a last stage, with all that makes windows, mode and bank equal.
  struct LastStage {
    int phase = 0;
    int draw = 0;
    int bank_revision = 0;
    Measurement measurement;
    EvaluateTask task;
  };

  // Takes steps until tasks are wanted or the search is over.
  void Advance();
  void BeginPhase();
  void BeginGeneration();
  void EnterStage();
  void EndStage();
  void EndGeneration(int winner);
  void AfterGeneration(double select_fitness);
  void EndPhase(const std::string& because);
  void Over(const std::string& because);

  const Phase& phase() const { return plan_->spec.phases[phase_]; }
  int draw() const { return generation_in_phase_ / phase().redraw_every; }
  bool is_last_stage() const { return stage_ + 1 == static_cast<int>(phase().stages.size()); }
  bool IsParentReusable() const;
  std::vector<Ranked> MeasuredMembers() const;
  void Record(int candidate, int stage, const Measurement& measurement);
  double AgreementOfStages() const;
  OffspringTallies TallyOffspring() const;
  std::string SelectKey(int candidate) const;
  void WantSelectOf(int candidate);
  double SelectFitnessOf(int candidate) const;
  int MaxFinalists() const;
  void WantParent();
  void PlaceParent();
  bool IsParentOut() const { return !parent_task_.empty() && wanted_.Find(parent_task_) != nullptr; }
  int StageTasksLeft() const { return wanted_.size() - (IsParentOut() && !is_last_stage() ? 1 : 0); }

  const SearchPlan* plan_;
  const Bank* bank_;
  const Tally* tally_;
  Curves* curves_;
  std::vector<int> generations_by_phase_;

  State state_ = State::kNotStarted;
  std::string stopped_because_;
  int phase_ = 0;
  int generation_ = 0;  // in the job
  int generation_in_phase_ = 0;
  int stage_ = 0;
  int tasks_in_stage_ = 0;

  std::vector<CandidateView> candidates_;
  std::vector<GenerationView> generations_;
  int first_parent_ = -1;
  int parent_ = -1;
  std::vector<int> phase_winners_;

  // Of the running generation.
  int first_candidate_ = 0;
  std::vector<Operator> made_by_;                      // from first_candidate_ on
  std::vector<int> members_;                          // of the stage: candidates
  std::vector<std::map<int, Measurement>> by_stage_;  // by candidate
  std::map<std::string, int> member_of_task_;         // of the stage
  std::map<int, EvaluateTask> told_tasks_;            // of the stage, by candidate
  // The parent's task of the last stage, wanted from the generation's start: it is the longest, and no worker waits at a stage's
  // end while it is left. Its outcome counts when the last stage begins.
  std::string parent_task_;  // empty: none in this generation
  std::optional<std::pair<EvaluateTask, Measurement>> parent_told_;

  std::map<std::string, LastStage> last_stages_;  // of parents, by digest
  std::map<std::string, double> select_fitness_;  // by SelectKey; infinity when not feasible
  std::string phase_ended_because_;
  Patience patience_;
  WantedTasks wanted_;
};

}  // namespace espalier
