#include "coordinator/rpc/view_conversion.h"

#include "common/wire/job_conversion.h"
#include "common/wire/mask_conversion.h"
#include "common/wire/names.h"
#include "common/wire/synchronize_conversion.h"

namespace espalier {
namespace {

void SetDuration(absl::Duration duration, google::protobuf::Duration* proto) {
  const int64_t nanos = absl::ToInt64Nanoseconds(duration);
  proto->set_seconds(nanos / 1'000'000'000);
  proto->set_nanos(static_cast<int>(nanos % 1'000'000'000));
}

void SetTimestamp(absl::Time time, google::protobuf::Timestamp* proto) {
  const int64_t nanos = absl::ToUnixNanos(time);
  proto->set_seconds(nanos / 1'000'000'000);
  proto->set_nanos(static_cast<int>(nanos % 1'000'000'000));
}

v1::JobProgress ProgressOf(const JobView& view) {
  const JobProgress& progress = view.progress;
  v1::JobProgress proto;
  proto.set_step(progress.step);
  proto.set_phase(progress.phase);
  proto.set_generation(progress.generation);
  proto.set_num_generations(progress.num_generations);
  proto.set_stage(progress.stage);
  proto.set_num_stages(progress.num_stages);
  proto.set_tasks_done(progress.tasks_done);
  proto.set_tasks_total(progress.tasks_total);
  proto.set_tasks_running(view.tasks_running);
  proto.set_trained_tokens(progress.trained_tokens);
  proto.set_planned_train_tokens(progress.planned_train_tokens);
  proto.set_scored_tokens(progress.scored_tokens);
  proto.set_best_fitness(progress.best_fitness);
  proto.set_best_standard_error(progress.best_standard_error);
  proto.set_best_mask_digest(progress.best_digest);
  proto.set_tokens_per_second(view.tokens_per_second);
  SetDuration(view.elapsed, proto.mutable_elapsed());
  proto.set_engine_seconds(progress.engine_seconds);
  proto.set_num_evaluations(progress.num_evaluations);
  proto.set_bank_bytes(progress.bank_bytes);
  proto.set_peak_bytes(progress.peak_bytes);
  return proto;
}

v1::Generation GenerationOf(const GenerationView& view) {
  v1::Generation proto;
  proto.set_phase(view.phase);
  proto.set_generation(view.generation);
  proto.set_parent_mask_digest(view.parent_digest);
  proto.set_fitness(view.fitness);
  proto.set_standard_error(view.standard_error);
  proto.set_one_shot_fitness(view.one_shot_fitness);
  proto.set_trained_tokens(view.trained_tokens);
  proto.set_scored_tokens(view.scored_tokens);
  proto.set_engine_seconds(view.engine_seconds);
  proto.set_rank_agreement(view.rank_agreement);
  return proto;
}

v1::JobResult ResultOf(const JobResult& result, const std::string& artifact) {
  v1::JobResult proto;
  proto.set_dense_parameters(result.dense_parameters);
  proto.set_parameters(result.parameters);
  proto.set_target_parameters(result.target_parameters);
  *proto.mutable_mask() = wire::ToProto(result.mask);
  proto.set_mask_digest(result.mask_digest);
  proto.set_fitness(result.fitness);
  proto.set_fitness_standard_error(result.fitness_standard_error);
  proto.set_one_shot_fitness(result.one_shot_fitness);
  proto.set_one_shot_perplexity(result.one_shot_perplexity);
  proto.set_dense_perplexity(result.dense_perplexity);
  proto.set_perplexity(result.perplexity);
  for (const auto& [name, yardstick] : result.yardsticks) {
    v1::Yardstick* added = proto.add_yardsticks();
    added->set_name(name);
    *added->mutable_mask() = wire::ToProto(yardstick.mask);
    added->set_parameters(yardstick.parameters);
    added->set_one_shot_fitness(yardstick.one_shot_fitness);
    added->set_one_shot_perplexity(yardstick.one_shot_perplexity);
    if (yardstick.recovered_perplexity.has_value()) added->set_recovered_perplexity(*yardstick.recovered_perplexity);
  }
  proto.set_sequence_length(result.sequence_length);
  proto.set_generations(result.generations);
  proto.set_trained_tokens(result.trained_tokens);
  proto.set_scored_tokens(result.scored_tokens);
  proto.set_engine_seconds(result.engine_seconds);
  proto.set_stopped_because(result.stopped_because);
  proto.set_chosen_because(result.chosen_because);
  for (const std::string& warning : result.warnings) proto.add_warnings(warning);
  proto.set_result_artifact(artifact);
  if (!result.finish.has_value()) return proto;
  for (const ExportedFile& file : result.finish->files) *proto.add_files() = wire::ToProto(file);
  for (const KeptUnit& unit : result.finish->kept) *proto.add_kept() = wire::ToProto(unit);
  *proto.mutable_measurement() = wire::ToProto(result.finish->measurement);
  return proto;
}

v1::Worker::State StateOf(const WorkerView& view) {
  if (view.is_lost) return v1::Worker::LOST;
  if (view.is_draining) return v1::Worker::DRAINING;
  if (!view.quarantine_reasons.empty()) return v1::Worker::QUARANTINED;
  return view.activities.empty() ? v1::Worker::IDLE : v1::Worker::BUSY;
}

}  // namespace

v1::Job::State ToProto(JobState state) {
  switch (state) {
    case JobState::kQueued:
      return v1::Job::QUEUED;
    case JobState::kRunning:
      return v1::Job::RUNNING;
    case JobState::kPaused:
      return v1::Job::PAUSED;
    case JobState::kSucceeded:
      return v1::Job::SUCCEEDED;
    case JobState::kFailed:
      return v1::Job::FAILED;
    case JobState::kCancelled:
      return v1::Job::CANCELLED;
  }
  return v1::Job::STATE_UNSPECIFIED;
}

v1::JobPreview ToProto(const JobPreview& preview) {
  v1::JobPreview proto;
  proto.set_dense_cost(preview.dense_cost);
  proto.set_target_cost(preview.target_cost);
  proto.set_dense_parameters(preview.dense_parameters);
  proto.set_train_tokens(preview.train_tokens);
  proto.set_score_tokens(preview.score_tokens);
  proto.set_recovery_tokens(preview.recovery_tokens);
  proto.set_num_evaluations(preview.num_evaluations);
  proto.set_bank_bytes(preview.bank_bytes);
  proto.set_device_bytes(preview.device_bytes);
  for (const std::string& warning : preview.warnings) proto.add_warnings(warning);
  return proto;
}

v1::Job ToProto(const JobView& view) {
  v1::Job proto;
  proto.set_name(wire::JobName(view.job_id));
  *proto.mutable_spec() = wire::ToProto(view.spec);
  proto.set_state(ToProto(view.state));
  proto.set_failure(view.failure);
  *proto.mutable_progress() = ProgressOf(view);
  SetTimestamp(view.create_time, proto.mutable_create_time());
  proto.set_numerics_class(view.numerics_class);
  for (const std::string& task : view.failed_tasks) proto.add_failed_tasks(task);
  proto.set_waiting_for(view.waiting_for);
  for (const GenerationView& generation : view.generations) *proto.add_generations() = GenerationOf(generation);
  if (view.result.has_value()) *proto.mutable_result() = ResultOf(*view.result, view.result_artifact);
  if (!view.ladder.units.empty()) {
    *proto.mutable_ladder() = wire::ToProto(view.ladder);
    *proto.mutable_inputs() = wire::ToProto(view.inputs);
    *proto.mutable_preview() = ToProto(view.preview);
  }
  return proto;
}

v1::Candidate ToProto(const std::string& job_id, const CandidateView& view, bool is_brief) {
  v1::Candidate proto;
  proto.set_name(wire::CandidateName(job_id, view.id));
  proto.set_phase(view.phase);
  proto.set_generation(view.generation);
  *proto.mutable_mask() = wire::ToProto(view.mask);
  proto.set_mask_digest(view.mask_digest);
  proto.set_cost(view.cost);
  proto.set_is_parent(view.is_parent);
  for (const auto& [stage, measurement] : view.by_stage) {
    v1::Candidate::StageMeasurement* added = proto.add_measurements();
    added->set_stage(stage);
    *added->mutable_measurement() = wire::ToProto(measurement);
    if (is_brief) added->mutable_measurement()->clear_window_fitness();
  }
  return proto;
}

v1::Worker ToProto(const WorkerView& view) {
  v1::Worker proto;
  proto.set_name(wire::WorkerName(view.worker_id));
  *proto.mutable_description() = wire::ToProto(view.description);
  proto.set_state(StateOf(view));
  for (const WorkerActivity& activity : view.activities) {
    v1::Worker::Activity* added = proto.add_activities();
    *added->mutable_lease() = wire::ToProto(activity.token);
    *added->mutable_progress() = wire::ToProto(activity.progress);
  }
  SetDuration(view.silence, proto.mutable_silence());
  proto.set_committed_tasks(view.committed_tasks);
  proto.set_failed_tasks(view.failed_tasks);
  proto.set_retained_bytes(view.retained_bytes);
  for (const std::string& reason : view.quarantine_reasons) proto.add_quarantine_reasons(reason);
  if (!view.quarantine_reasons.empty()) SetDuration(view.quarantine_left, proto.mutable_quarantine_left());
  return proto;
}

}  // namespace espalier
