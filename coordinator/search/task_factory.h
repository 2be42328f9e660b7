// Every kind of task a job has, made from what the job is: the same call gives the same task after every restart.
//
// Which pools are read for what: calibrate for the bank; train for stages, play-off and recovery; score for stages and
// single units; select (fixed windows) for the play-off and for stopping; report (fixed windows) for one-shot curves,
// yardsticks and the finished model. The fixed ones do not depend on the seed, so that searches compare.
#pragma once

#include <string>

#include "coordinator/search/search_plan.h"
#include "coordinator/search/stage_plan.h"

namespace espalier {

struct StageOfPhase {
  int phase = 0;
  int draw = 0;
  int stage = 0;
};

Task BankLayer(const SearchPlan& plan, int layer, int attempt);
Task AdditiveUnit(const SearchPlan& plan, const Bank& bank, int unit);

// A member of a stage. `generation` counts within the job.
Task StageEvaluation(const SearchPlan& plan, const Bank& bank, const StageOfPhase& stage, int generation,
                     const Mask& mask, StageStart start);

// A parent, trained as in the last stage of the phase's first draw and scored on the select windows.
Task SelectEvaluation(const SearchPlan& plan, const Bank& bank, int phase, const Mask& mask);

enum class OneShotKind {
  kCurve,      // fitness on the report windows
  kYardstick,  // also perplexities
};
Task OneShotEvaluation(const SearchPlan& plan, const Bank& bank, OneShotKind kind, const Mask& mask);

// A finalist after the play-off's short recovery (or as it is), scored on the select windows.
Task PlayOffEvaluation(const SearchPlan& plan, const Bank& bank, const Mask& mask);

// A yardstick, recovered as the winner is, with its perplexity.
Task RecoveredEvaluation(const SearchPlan& plan, const Bank& bank, const Mask& mask);

// `reached`: with recovery.start_trained, the winner's last evaluation, if it had one.
Task Finish(const SearchPlan& plan, const Bank& bank, const Mask& mask, const EvaluateTask* reached);

}  // namespace espalier
