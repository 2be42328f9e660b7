#include "common/wire/task_conversion.h"

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/wire/enum_conversion.h"
#include "common/wire/job_conversion.h"
#include "common/wire/mask_conversion.h"

namespace espalier::wire {

v1::StateKey ToProto(const StateKey& key) {
  v1::StateKey proto;
  proto.set_job(key.job_id);
  proto.set_mask_digest(key.mask_digest);
  proto.set_stream(key.stream);
  proto.set_position(key.position);
  return proto;
}

absl::StatusOr<StateKey> FromProto(const v1::StateKey& proto) {
  if (proto.job().empty()) return absl::InvalidArgumentError("state key: job is empty");
  return StateKey{proto.job(), proto.mask_digest(), proto.stream(), proto.position()};
}

v1::WindowKey ToProto(const WindowKey& key) {
  v1::WindowKey proto;
  proto.set_pool(ToProto(key.pool));
  proto.set_seed(key.seed);
  proto.set_phase(key.phase);
  proto.set_draw(key.draw);
  return proto;
}

absl::StatusOr<WindowKey> FromProto(const v1::WindowKey& proto) {
  WindowKey key;
  ESPALIER_ASSIGN_OR_RETURN(key.pool, FromProto(proto.pool()));
  key.seed = proto.seed();
  key.phase = proto.phase();
  key.draw = proto.draw();
  return key;
}

namespace {

v1::StreamRange StreamToProto(const StreamRange& range) {
  v1::StreamRange proto;
  *proto.mutable_key() = ToProto(range.key);
  proto.set_begin(range.begin);
  proto.set_end(range.end);
  proto.mutable_stage_ends()->Assign(range.stage_ends.begin(), range.stage_ends.end());
  proto.set_repeat(range.repeat);
  return proto;
}

absl::StatusOr<StreamRange> StreamFromProto(const v1::StreamRange& proto) {
  StreamRange range;
  ESPALIER_ASSIGN_OR_RETURN(range.key, FromProto(proto.key()));
  range.begin = proto.begin();
  range.end = proto.end();
  range.stage_ends.assign(proto.stage_ends().begin(), proto.stage_ends().end());
  range.repeat = proto.repeat();
  if (range.begin < 0 || range.end < range.begin) {
    return absl::InvalidArgumentError(absl::StrCat("stream: [", range.begin, ", ", range.end, ") is no range"));
  }
  return range;
}

v1::BankReference BankToProto(const BankReference& bank) {
  v1::BankReference proto;
  proto.set_key(bank.key);
  proto.mutable_layer_digests()->Assign(bank.layer_digests.begin(), bank.layer_digests.end());
  return proto;
}

BankReference BankFromProto(const v1::BankReference& proto) {
  return {proto.key(), {proto.layer_digests().begin(), proto.layer_digests().end()}};
}

v1::JobContext ContextToProto(const JobContext& context) {
  v1::JobContext proto;
  proto.set_model_folder(context.model_folder);
  proto.set_model_digest(context.model_digest);
  proto.set_tokens_path(context.tokens_path);
  proto.set_tokens_digest(context.tokens_digest);
  proto.set_evaluation_path(context.evaluation_path);
  proto.set_evaluation_digest(context.evaluation_digest);
  proto.set_evaluation_windows(context.evaluation_windows);
  proto.set_sequence_length(context.sequence_length);
  *proto.mutable_ladder() = ToProto(context.ladder);
  proto.set_criterion(context.criterion);
  proto.set_compensation(context.compensation);
  proto.set_damping(context.damping);
  proto.set_device(ToProto(context.device));
  proto.set_cpu_threads(context.cpu_threads);
  return proto;
}

absl::StatusOr<JobContext> ContextFromProto(const v1::JobContext& proto) {
  JobContext context;
  context.model_folder = proto.model_folder();
  context.model_digest = proto.model_digest();
  context.tokens_path = proto.tokens_path();
  context.tokens_digest = proto.tokens_digest();
  context.evaluation_path = proto.evaluation_path();
  context.evaluation_digest = proto.evaluation_digest();
  context.evaluation_windows = proto.evaluation_windows();
  context.sequence_length = proto.sequence_length();
  ESPALIER_ASSIGN_OR_RETURN(context.ladder, FromProto(proto.ladder()));
  context.criterion = proto.criterion();
  context.compensation = proto.compensation();
  context.damping = proto.damping();
  ESPALIER_ASSIGN_OR_RETURN(context.device, FromProto(proto.device()));
  context.cpu_threads = proto.cpu_threads();
  return context;
}

void PayloadToProto(const BankLayerTask& task, v1::Task& proto) {
  v1::BankLayerTask& payload = *proto.mutable_bank_layer();
  payload.set_layer(task.layer);
  *payload.mutable_calibration() = ToProto(task.calibration);
  payload.set_calibration_windows(task.calibration_windows);
}

absl::StatusOr<BankLayerTask> PayloadFromProto(const v1::BankLayerTask& proto) {
  BankLayerTask task;
  task.layer = proto.layer();
  ESPALIER_ASSIGN_OR_RETURN(task.calibration, FromProto(proto.calibration()));
  task.calibration_windows = proto.calibration_windows();
  return task;
}

void PayloadToProto(const AdditiveUnitTask& task, v1::Task& proto) {
  v1::AdditiveUnitTask& payload = *proto.mutable_additive_unit();
  *payload.mutable_bank() = BankToProto(task.bank);
  payload.set_unit(task.unit);
  *payload.mutable_score() = ToProto(task.score);
  payload.set_score_windows(task.score_windows);
}

absl::StatusOr<AdditiveUnitTask> PayloadFromProto(const v1::AdditiveUnitTask& proto) {
  AdditiveUnitTask task;
  task.bank = BankFromProto(proto.bank());
  task.unit = proto.unit();
  ESPALIER_ASSIGN_OR_RETURN(task.score, FromProto(proto.score()));
  task.score_windows = proto.score_windows();
  return task;
}

void EvaluateToProto(const EvaluateTask& task, v1::EvaluateTask& payload) {
  *payload.mutable_bank() = BankToProto(task.bank);
  *payload.mutable_mask() = ToProto(task.mask);
  payload.set_mask_digest(task.mask_digest);
  *payload.mutable_train() = ToProto(task.train);
  *payload.mutable_stream() = StreamToProto(task.stream);
  payload.set_tokens_per_step(task.tokens_per_step);
  payload.set_schedule_tokens(task.schedule_tokens);
  if (task.resume.has_value()) *payload.mutable_resume() = ToProto(*task.resume);
  if (task.retain.has_value()) *payload.mutable_retain() = ToProto(*task.retain);
  payload.set_continue_state(ToProto(task.continue_state));
  *payload.mutable_score() = ToProto(task.score);
  payload.set_score_windows(task.score_windows);
  payload.set_measure_perplexity(task.measure_perplexity);
}

void PayloadToProto(const EvaluateTask& task, v1::Task& proto) { EvaluateToProto(task, *proto.mutable_evaluate()); }

absl::StatusOr<EvaluateTask> PayloadFromProto(const v1::EvaluateTask& proto) {
  EvaluateTask task;
  task.bank = BankFromProto(proto.bank());
  ESPALIER_ASSIGN_OR_RETURN(task.mask, FromProto(proto.mask()));
  task.mask_digest = proto.mask_digest();
  ESPALIER_ASSIGN_OR_RETURN(task.train, Overlay(TrainSettings{}, proto.train()));
  ESPALIER_ASSIGN_OR_RETURN(task.stream, StreamFromProto(proto.stream()));
  task.tokens_per_step = proto.tokens_per_step();
  task.schedule_tokens = proto.schedule_tokens();
  if (proto.has_resume()) {
    ESPALIER_ASSIGN_OR_RETURN(task.resume, FromProto(proto.resume()));
  }
  if (proto.has_retain()) {
    ESPALIER_ASSIGN_OR_RETURN(task.retain, FromProto(proto.retain()));
  }
  ESPALIER_ASSIGN_OR_RETURN(task.continue_state, FromProto(proto.continue_state()));
  ESPALIER_ASSIGN_OR_RETURN(task.score, FromProto(proto.score()));
  task.score_windows = proto.score_windows();
  task.measure_perplexity = proto.measure_perplexity();
  return task;
}

void PayloadToProto(const FinishTask& task, v1::Task& proto) {
  v1::FinishTask& payload = *proto.mutable_finish();
  *payload.mutable_bank() = BankToProto(task.bank);
  *payload.mutable_mask() = ToProto(task.mask);
  payload.set_mask_digest(task.mask_digest);
  *payload.mutable_recovery() = ToProto(task.recovery);
  *payload.mutable_recovery_key() = ToProto(task.recovery_key);
  if (task.start.has_value()) *payload.mutable_start() = ToProto(*task.start);
  payload.set_runtime(ToProto(task.runtime));
  *payload.mutable_score() = ToProto(task.score);
  payload.set_score_windows(task.score_windows);
  payload.set_provenance_json(task.provenance_json);
  if (task.start_evaluation.has_value()) EvaluateToProto(*task.start_evaluation, *payload.mutable_start_evaluation());
}

absl::StatusOr<FinishTask> PayloadFromProto(const v1::FinishTask& proto) {
  FinishTask task;
  task.bank = BankFromProto(proto.bank());
  ESPALIER_ASSIGN_OR_RETURN(task.mask, FromProto(proto.mask()));
  task.mask_digest = proto.mask_digest();
  ESPALIER_ASSIGN_OR_RETURN(task.recovery, Overlay(Recovery{}, proto.recovery()));
  ESPALIER_ASSIGN_OR_RETURN(task.recovery_key, FromProto(proto.recovery_key()));
  if (proto.has_start()) {
    ESPALIER_ASSIGN_OR_RETURN(task.start, FromProto(proto.start()));
  }
  ESPALIER_ASSIGN_OR_RETURN(task.runtime, FromProto(proto.runtime()));
  ESPALIER_ASSIGN_OR_RETURN(task.score, FromProto(proto.score()));
  task.score_windows = proto.score_windows();
  task.provenance_json = proto.provenance_json();
  if (proto.has_start_evaluation()) {
    ESPALIER_ASSIGN_OR_RETURN(task.start_evaluation, PayloadFromProto(proto.start_evaluation()));
  }
  return task;
}

}  // namespace

v1::Task ToProto(const Task& task) {
  v1::Task proto;
  proto.set_job(task.job_id);
  proto.set_task(task.task_id);
  *proto.mutable_context() = ContextToProto(task.context);
  std::visit([&](const auto& payload) { PayloadToProto(payload, proto); }, task.payload);
  return proto;
}

absl::StatusOr<Task> FromProto(const v1::Task& proto) {
  Task task;
  task.job_id = proto.job();
  task.task_id = proto.task();
  if (task.job_id.empty() || task.task_id.empty()) return absl::InvalidArgumentError("task: job or task is empty");
  ESPALIER_ASSIGN_OR_RETURN(task.context, ContextFromProto(proto.context()));
  switch (proto.payload_case()) {
    case v1::Task::kBankLayer: {
      ESPALIER_ASSIGN_OR_RETURN(task.payload, PayloadFromProto(proto.bank_layer()));
      return task;
    }
    case v1::Task::kAdditiveUnit: {
      ESPALIER_ASSIGN_OR_RETURN(task.payload, PayloadFromProto(proto.additive_unit()));
      return task;
    }
    case v1::Task::kEvaluate: {
      ESPALIER_ASSIGN_OR_RETURN(task.payload, PayloadFromProto(proto.evaluate()));
      return task;
    }
    case v1::Task::kFinish: {
      ESPALIER_ASSIGN_OR_RETURN(task.payload, PayloadFromProto(proto.finish()));
      return task;
    }
    case v1::Task::PAYLOAD_NOT_SET:
      break;
  }
  return absl::InvalidArgumentError(absl::StrCat("task '", task.task_id, "': a kind that this version does not know"));
}

}  // namespace espalier::wire
