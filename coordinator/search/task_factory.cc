#include "coordinator/search/task_factory.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace espalier {
namespace {

constexpr WindowKey kSelectWindows = {Pool::kSelect, 0, 0, 0};
constexpr WindowKey kReportWindows = {Pool::kReport, 0, 0, 0};

Task Base(const SearchPlan& plan, std::string task_id) {
  Task task;
  task.job_id = plan.job_id;
  task.task_id = std::move(task_id);
  task.context = plan.context;
  return task;
}

// Tasks of a later bank revision are other tasks.
std::string Revised(const Bank& bank, std::string task_id) {
  if (bank.revision > 0) absl::StrAppend(&task_id, "/b", bank.revision);
  return task_id;
}

std::string Short(const std::string& digest) { return digest.substr(0, 16); }

StateKey KeyOfState(const SearchPlan& plan, const Bank& bank, const EvaluateTask& evaluate, int64_t position) {
  return {plan.job_id, evaluate.mask_digest, Revised(bank, ToText(evaluate.stream.key)), position};
}

EvaluateTask Evaluation(const SearchPlan& plan, const Bank& bank, const Mask& mask) {
  EvaluateTask evaluate;
  evaluate.bank = bank.reference;
  evaluate.mask = mask;
  evaluate.mask_digest = Digest(plan.ladder, mask);
  evaluate.tokens_per_step = plan.spec.tokens_per_step;
  evaluate.continue_state = plan.spec.continue_state;
  return evaluate;
}

void TrainAsRecovery(const SearchPlan& plan, const Recovery& recovery, int draws, EvaluateTask* evaluate) {
  evaluate->train = recovery.train;
  evaluate->tokens_per_step = recovery.tokens_per_step;
  evaluate->stream.key = {Pool::kTrain, plan.spec.seed, draws, 0};
  evaluate->stream.end = recovery.tokens;
  evaluate->stream.repeat = true;
  evaluate->schedule_tokens = recovery.tokens;
}

std::string QuotedForJson(const std::string& text) {
  constexpr char kHex[] = "0123456789abcdef";
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      quoted += '\\';
      quoted += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      absl::StrAppend(&quoted, "\\u00", std::string(1, kHex[(c >> 4) & 1]), std::string(1, kHex[c & 15]));
    } else {
      quoted += c;
    }
  }
  return quoted + "\"";
}

// What of the job an export carries with it. Neither paths nor times: the export's bytes depend on the work alone.
std::string ProvenanceJson(const SearchPlan& plan, const Bank& bank, const std::string& mask_digest) {
  const JobSpec& spec = plan.spec;
  return absl::StrCat(
      "{\"job\":", QuotedForJson(plan.job_id), ",\"preset\":", QuotedForJson(Name(spec.preset)),
      ",\"seed\":", spec.seed, ",\"mode\":", QuotedForJson(Name(spec.mode)),
      ",\"runtime\":", QuotedForJson(Name(spec.runtime)), ",\"cost\":", QuotedForJson(Name(spec.cost.kind)),
      ",\"target\":", plan.target, ",\"dense_cost\":", plan.dense_cost, ",\"sequence_length\":", spec.sequence_length,
      ",\"recovery_tokens\":", spec.recovery.tokens, ",\"model_digest\":", QuotedForJson(plan.inputs.model_digest),
      ",\"tokens_digest\":", QuotedForJson(plan.inputs.tokens_digest),
      ",\"bank_key\":", QuotedForJson(bank.reference.key), ",\"bank_layers\":[\"",
      absl::StrJoin(bank.reference.layer_digests, "\",\""), "\"],\"mask_digest\":", QuotedForJson(mask_digest), "}");
}

}  // namespace

Task BankLayer(const SearchPlan& plan, int layer, int attempt) {
  Task task = Base(plan, attempt == 0 ? absl::StrCat("bank/", layer) : absl::StrCat("bank/", layer, "/r", attempt));
  task.payload = BankLayerTask{layer, plan.calibration, plan.calibration_windows};
  return task;
}

Task AdditiveUnit(const SearchPlan& plan, const Bank& bank, int unit) {
  const Unit& of = plan.ladder.units[unit].unit;
  Task task = Base(plan, Revised(bank, absl::StrCat("additive/", of.kind == UnitKind::kAttention ? "attention" : "ffn",
                                                    "/", of.layer)));
  AdditiveUnitTask payload;
  payload.bank = bank.reference;
  payload.unit = unit;
  payload.score = {Pool::kScore, plan.spec.seed, kAdditiveDraws, 0};
  payload.score_windows = WindowsOf(plan, plan.spec.additive_score_tokens);
  task.payload = payload;
  return task;
}

Task StageEvaluation(const SearchPlan& plan, const Bank& bank, const StageOfPhase& stage, int generation,
                     const Mask& mask, StageStart start) {
  const Phase& phase = plan.spec.phases[stage.phase];
  const bool is_last = stage.stage + 1 == static_cast<int>(phase.stages.size());
  EvaluateTask evaluate = Evaluation(plan, bank, mask);
  evaluate.train = phase.train;
  evaluate.stream = TrainRange(plan.spec, stage.phase, stage.draw, stage.stage, start);
  if (evaluate.stream.begin > 0) evaluate.resume = KeyOfState(plan, bank, evaluate, evaluate.stream.begin);
  const bool goes_on = plan.spec.mode == TrainMode::kContinue && !is_last;
  const bool may_be_recovered_from = plan.spec.recovery.start_trained && is_last;
  if ((goes_on || may_be_recovered_from) && evaluate.stream.end > 0)
    evaluate.retain = KeyOfState(plan, bank, evaluate, evaluate.stream.end);
  evaluate.score = {Pool::kScore, plan.spec.seed, stage.phase, stage.draw};
  evaluate.score_windows = WindowsOf(plan, phase.stages[stage.stage].score_tokens);
  Task task = Base(plan, Revised(bank, absl::StrCat("evaluate/p", stage.phase, "/g", generation, "/s", stage.stage, "/",
                                                    Short(evaluate.mask_digest))));
  task.payload = std::move(evaluate);
  return task;
}

Task SelectEvaluation(const SearchPlan& plan, const Bank& bank, int phase, const Mask& mask) {
  const int last = static_cast<int>(plan.spec.phases[phase].stages.size()) - 1;
  EvaluateTask evaluate = Evaluation(plan, bank, mask);
  evaluate.train = plan.spec.phases[phase].train;
  evaluate.stream = TrainRange(plan.spec, phase, 0, last, StageStart::kStraight);
  evaluate.score = kSelectWindows;
  evaluate.score_windows = WindowsOf(plan, plan.spec.play_off_score_tokens);
  Task task = Base(plan, Revised(bank, absl::StrCat("evaluate/select/p", phase, "/", Short(evaluate.mask_digest))));
  task.payload = std::move(evaluate);
  return task;
}

Task OneShotEvaluation(const SearchPlan& plan, const Bank& bank, OneShotKind kind, const Mask& mask) {
  EvaluateTask evaluate = Evaluation(plan, bank, mask);
  evaluate.score = kReportWindows;
  evaluate.score_windows = WindowsOf(plan, plan.spec.report_score_tokens);
  evaluate.measure_perplexity = kind == OneShotKind::kYardstick;
  const char* name = kind == OneShotKind::kYardstick ? "evaluate/yardstick/" : "evaluate/one-shot/";
  Task task = Base(plan, Revised(bank, absl::StrCat(name, Short(evaluate.mask_digest))));
  task.payload = std::move(evaluate);
  return task;
}

Task PlayOffEvaluation(const SearchPlan& plan, const Bank& bank, const Mask& mask) {
  EvaluateTask evaluate = Evaluation(plan, bank, mask);
  TrainAsRecovery(plan, plan.spec.play_off, kPlayOffDraws, &evaluate);
  evaluate.score = kSelectWindows;
  evaluate.score_windows = WindowsOf(plan, plan.spec.play_off_score_tokens);
  Task task = Base(plan, Revised(bank, absl::StrCat("evaluate/play-off/", Short(evaluate.mask_digest))));
  task.payload = std::move(evaluate);
  return task;
}

Task RecoveredEvaluation(const SearchPlan& plan, const Bank& bank, const Mask& mask) {
  EvaluateTask evaluate = Evaluation(plan, bank, mask);
  TrainAsRecovery(plan, plan.spec.recovery, kRecoveryDraws, &evaluate);
  evaluate.score = kReportWindows;
  evaluate.score_windows = WindowsOf(plan, plan.spec.report_score_tokens);
  evaluate.measure_perplexity = true;
  Task task = Base(plan, Revised(bank, absl::StrCat("evaluate/recovered/", Short(evaluate.mask_digest))));
  task.payload = std::move(evaluate);
  return task;
}

Task Finish(const SearchPlan& plan, const Bank& bank, const Mask& mask, const EvaluateTask* reached) {
  FinishTask finish;
  finish.bank = bank.reference;
  finish.mask = mask;
  finish.mask_digest = Digest(plan.ladder, mask);
  finish.recovery = plan.spec.recovery;
  finish.recovery_key = {Pool::kTrain, plan.spec.seed, kRecoveryDraws, 0};
  if (plan.spec.recovery.start_trained && reached != nullptr && reached->retain.has_value()) {
    finish.start = reached->retain;
    finish.start_evaluation = *reached;
  }
  finish.runtime = plan.spec.runtime;
  finish.score = kReportWindows;
  finish.score_windows = WindowsOf(plan, plan.spec.report_score_tokens);
  finish.provenance_json = ProvenanceJson(plan, bank, finish.mask_digest);
  Task task = Base(plan, Revised(bank, "finish"));
  task.payload = std::move(finish);
  return task;
}

}  // namespace espalier
