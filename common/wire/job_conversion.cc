#include "common/wire/job_conversion.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/domain/job_presets.h"
#include "common/wire/enum_conversion.h"
#include "common/wire/mask_conversion.h"

namespace espalier::wire {
namespace {

absl::Status AtField(const std::string& field, const absl::Status& status) {
  if (status.ok()) return status;
  return absl::Status(status.code(), absl::StrCat(field, ": ", status.message()));
}

absl::Status CheckFinite(const std::string& field, double value) {
  if (std::isfinite(value)) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(field, ": ", value, " is no finite number"));
}

// Puts a set field of the message over the domain's value.
#define OVERLAY(target, proto, field) \
  if ((proto).has_##field()) (target).field = (proto).field()
#define OVERLAY_ENUM(target, proto, field)                           \
  if ((proto).has_##field() && static_cast<int>((proto).field()) != 0) { \
    auto converted = FromProto((proto).field());                     \
    if (!converted.ok()) return AtField(#field, converted.status()); \
    (target).field = *converted;                                     \
  }
#define OVERLAY_NUMBER(target, proto, field)                        \
  if ((proto).has_##field()) {                                      \
    ESPALIER_RETURN_IF_ERROR(CheckFinite(#field, (proto).field())); \
    (target).field = (proto).field();                               \
  }

absl::Status OverlayTarget(const v1::Target& proto, Target& target) {
  switch (proto.kind_case()) {
    case v1::Target::kShare:
      if (!(proto.share() > 0 && proto.share() <= 1)) {
        return absl::InvalidArgumentError(absl::StrCat("share: ", proto.share(), " is not above 0 and at most 1"));
      }
      target = Target{.share = proto.share(), .count = 0};
      return absl::OkStatus();
    case v1::Target::kCount:
      if (proto.count() <= 0) return absl::InvalidArgumentError(absl::StrCat("count: ", proto.count(), " is not above 0"));
      target = Target{.share = 0, .count = proto.count()};
      return absl::OkStatus();
    case v1::Target::KIND_NOT_SET:
      return absl::OkStatus();
  }
  return absl::OkStatus();
}

absl::Status OverlayCost(const v1::CostOptions& proto, CostOptions& cost) {
  OVERLAY_ENUM(cost, proto, kind);
  OVERLAY(cost, proto, context_tokens);
  return absl::OkStatus();
}

absl::Status OverlayLadder(const v1::LadderOptions& proto, LadderOptions& ladder) {
  OVERLAY_ENUM(ladder, proto, head_granularity);
  OVERLAY(ladder, proto, keep_kv_whole);
  OVERLAY(ladder, proto, attention_levels);
  OVERLAY(ladder, proto, ffn_levels);
  OVERLAY(ladder, proto, width_multiple);
  if (proto.attention_removed_size() > 0) {
    ladder.attention_removed.assign(proto.attention_removed().begin(), proto.attention_removed().end());
  }
  if (proto.ffn_removed_size() > 0) ladder.ffn_removed.assign(proto.ffn_removed().begin(), proto.ffn_removed().end());
  return absl::OkStatus();
}

absl::Status OverlayTrain(const v1::TrainSettings& proto, TrainSettings& train) {
  OVERLAY_ENUM(train, proto, loss);
  OVERLAY_NUMBER(train, proto, learning_rate);
  OVERLAY_NUMBER(train, proto, weight_decay);
  OVERLAY_NUMBER(train, proto, beta1);
  OVERLAY_NUMBER(train, proto, beta2);
  OVERLAY_NUMBER(train, proto, epsilon);
  OVERLAY_NUMBER(train, proto, clip_norm);
  OVERLAY(train, proto, warmup_steps);
  OVERLAY_NUMBER(train, proto, cosine_to);
  return absl::OkStatus();
}

absl::Status OverlayPhase(const v1::Phase& proto, Phase& phase) {
  if (!proto.name().empty()) phase.name = proto.name();
  OVERLAY(phase, proto, generations);
  OVERLAY(phase, proto, offspring);
  if (proto.stages_size() > 0) phase.stages.clear();
  for (const v1::Stage& stage : proto.stages()) {
    phase.stages.push_back({stage.survivors(), stage.train_tokens(), stage.score_tokens()});
  }
  ESPALIER_RETURN_IF_ERROR(AtField("train", OverlayTrain(proto.train(), phase.train)));
  OVERLAY(phase, proto, redraw_every);
  OVERLAY_NUMBER(phase, proto, same_kind_weight);
  OVERLAY_NUMBER(phase, proto, cross_kind_weight);
  OVERLAY(phase, proto, patience);
  return absl::OkStatus();
}

// Phases of the message replace the base's; what one leaves out comes from the base's phase at its place (or its last).
absl::Status OverlayPhases(const v1::JobSpec& proto, JobSpec& spec) {
  if (proto.phases_size() == 0) return absl::OkStatus();
  const std::vector<Phase> base = std::exchange(spec.phases, {});
  for (int i = 0; i < proto.phases_size(); ++i) {
    Phase phase;
    if (!base.empty()) phase = base[std::min<size_t>(i, base.size() - 1)];
    ESPALIER_RETURN_IF_ERROR(AtField(absl::StrCat("phases[", i, "]"), OverlayPhase(proto.phases(i), phase)));
    spec.phases.push_back(std::move(phase));
  }
  return absl::OkStatus();
}

absl::Status OverlayStop(const v1::StopRules& proto, StopRules& stop) {
  OVERLAY(stop, proto, generations);
  OVERLAY(stop, proto, token_budget);
  OVERLAY_NUMBER(stop, proto, wall_seconds);
  OVERLAY(stop, proto, patience);
  return absl::OkStatus();
}

absl::Status OverlayRecovery(const v1::Recovery& proto, Recovery& recovery) {
  OVERLAY(recovery, proto, tokens);
  ESPALIER_RETURN_IF_ERROR(AtField("train", OverlayTrain(proto.train(), recovery.train)));
  OVERLAY(recovery, proto, tokens_per_step);
  OVERLAY(recovery, proto, start_trained);
  return absl::OkStatus();
}

absl::Status OverlayInputs(const v1::JobSpec& proto, JobSpec& spec) {
  OVERLAY(spec, proto, display_name);
  OVERLAY_ENUM(spec, proto, preset);
  OVERLAY(spec, proto, model_folder);
  OVERLAY(spec, proto, tokens_path);
  OVERLAY(spec, proto, evaluation_path);
  OVERLAY(spec, proto, evaluation_windows);
  OVERLAY(spec, proto, sequence_length);
  OVERLAY(spec, proto, seed);
  ESPALIER_RETURN_IF_ERROR(AtField("target", OverlayTarget(proto.target(), spec.target)));
  ESPALIER_RETURN_IF_ERROR(AtField("cost", OverlayCost(proto.cost(), spec.cost)));
  ESPALIER_RETURN_IF_ERROR(AtField("ladder", OverlayLadder(proto.ladder(), spec.ladder)));
  OVERLAY_ENUM(spec, proto, runtime);
  return absl::OkStatus();
}

absl::Status OverlaySearch(const v1::JobSpec& proto, JobSpec& spec) {
  OVERLAY(spec, proto, criterion);
  OVERLAY(spec, proto, compensation);
  OVERLAY(spec, proto, strategy);
  OVERLAY_NUMBER(spec, proto, damping);
  OVERLAY(spec, proto, calibration_tokens);
  OVERLAY_ENUM(spec, proto, first_parent);
  if (proto.has_given_mask()) {
    ESPALIER_ASSIGN_OR_RETURN(spec.given, FromProto(proto.given_mask()));
  }
  OVERLAY(spec, proto, additive_score_tokens);
  OVERLAY_ENUM(spec, proto, mode);
  OVERLAY_ENUM(spec, proto, continue_state);
  ESPALIER_RETURN_IF_ERROR(OverlayPhases(proto, spec));
  OVERLAY(spec, proto, tokens_per_step);
  return AtField("stop", OverlayStop(proto.stop(), spec.stop));
}

absl::Status OverlayEnd(const v1::JobSpec& proto, JobSpec& spec) {
  ESPALIER_RETURN_IF_ERROR(AtField("play_off", OverlayRecovery(proto.play_off(), spec.play_off)));
  OVERLAY(spec, proto, play_off_score_tokens);
  ESPALIER_RETURN_IF_ERROR(AtField("recovery", OverlayRecovery(proto.recovery(), spec.recovery)));
  OVERLAY(spec, proto, recover_yardsticks);
  OVERLAY(spec, proto, report_score_tokens);
  OVERLAY_ENUM(spec, proto, device);
  OVERLAY(spec, proto, cpu_threads);
  OVERLAY(spec, proto, max_attempts);
  OVERLAY(spec, proto, priority);
  OVERLAY_NUMBER(spec, proto, weight);
  OVERLAY(spec, proto, max_workers);
  OVERLAY(spec, proto, minimum_device_memory);
  return absl::OkStatus();
}

#undef OVERLAY
#undef OVERLAY_ENUM
#undef OVERLAY_NUMBER

v1::LadderOptions LadderToProto(const LadderOptions& ladder) {
  v1::LadderOptions proto;
  proto.set_head_granularity(ToProto(ladder.head_granularity));
  proto.set_keep_kv_whole(ladder.keep_kv_whole);
  proto.set_attention_levels(ladder.attention_levels);
  proto.set_ffn_levels(ladder.ffn_levels);
  proto.set_width_multiple(ladder.width_multiple);
  proto.mutable_attention_removed()->Assign(ladder.attention_removed.begin(), ladder.attention_removed.end());
  proto.mutable_ffn_removed()->Assign(ladder.ffn_removed.begin(), ladder.ffn_removed.end());
  return proto;
}

v1::Phase PhaseToProto(const Phase& phase) {
  v1::Phase proto;
  proto.set_name(phase.name);
  proto.set_generations(phase.generations);
  proto.set_offspring(phase.offspring);
  for (const Stage& stage : phase.stages) {
    v1::Stage* added = proto.add_stages();
    added->set_survivors(stage.survivors);
    added->set_train_tokens(stage.train_tokens);
    added->set_score_tokens(stage.score_tokens);
  }
  *proto.mutable_train() = ToProto(phase.train);
  proto.set_redraw_every(phase.redraw_every);
  proto.set_same_kind_weight(phase.same_kind_weight);
  proto.set_cross_kind_weight(phase.cross_kind_weight);
  proto.set_patience(phase.patience);
  return proto;
}

void FillInputs(const JobSpec& spec, v1::JobSpec& proto) {
  proto.set_display_name(spec.display_name);
  proto.set_preset(ToProto(spec.preset));
  proto.set_model_folder(spec.model_folder);
  proto.set_tokens_path(spec.tokens_path);
  proto.set_evaluation_path(spec.evaluation_path);
  proto.set_evaluation_windows(spec.evaluation_windows);
  proto.set_sequence_length(spec.sequence_length);
  proto.set_seed(spec.seed);
  if (spec.target.count != 0) {
    proto.mutable_target()->set_count(spec.target.count);
  } else if (spec.target.share != 0) {
    proto.mutable_target()->set_share(spec.target.share);
  }
  proto.mutable_cost()->set_kind(ToProto(spec.cost.kind));
  proto.mutable_cost()->set_context_tokens(spec.cost.context_tokens);
  *proto.mutable_ladder() = LadderToProto(spec.ladder);
  proto.set_runtime(ToProto(spec.runtime));
}

void FillSearch(const JobSpec& spec, v1::JobSpec& proto) {
  proto.set_criterion(spec.criterion);
  proto.set_compensation(spec.compensation);
  proto.set_strategy(spec.strategy);
  proto.set_damping(spec.damping);
  proto.set_calibration_tokens(spec.calibration_tokens);
  proto.set_first_parent(ToProto(spec.first_parent));
  *proto.mutable_given_mask() = ToProto(spec.given);
  proto.set_additive_score_tokens(spec.additive_score_tokens);
  proto.set_mode(ToProto(spec.mode));
  proto.set_continue_state(ToProto(spec.continue_state));
  for (const Phase& phase : spec.phases) *proto.add_phases() = PhaseToProto(phase);
  proto.set_tokens_per_step(spec.tokens_per_step);
  v1::StopRules& stop = *proto.mutable_stop();
  if (spec.stop.generations.has_value()) stop.set_generations(*spec.stop.generations);
  stop.set_token_budget(spec.stop.token_budget);
  stop.set_wall_seconds(spec.stop.wall_seconds);
  stop.set_patience(spec.stop.patience);
}

}  // namespace

absl::StatusOr<JobSpec> Overlay(const JobSpec& base, const v1::JobSpec& proto) {
  JobSpec spec = base;
  ESPALIER_RETURN_IF_ERROR(AtField("spec", OverlayInputs(proto, spec)));
  ESPALIER_RETURN_IF_ERROR(AtField("spec", OverlaySearch(proto, spec)));
  ESPALIER_RETURN_IF_ERROR(AtField("spec", OverlayEnd(proto, spec)));
  return spec;
}

absl::StatusOr<JobSpec> FromUser(const v1::JobSpec& proto) {
  Preset preset = Preset::kBalanced;
  if (proto.has_preset() && proto.preset() != v1::PRESET_UNSPECIFIED) {
    ESPALIER_ASSIGN_OR_RETURN(preset, FromProto(proto.preset()));
  }
  DeviceKind device = DeviceKind::kCpu;
  if (proto.has_device() && proto.device() != v1::DEVICE_KIND_UNSPECIFIED) {
    ESPALIER_ASSIGN_OR_RETURN(device, FromProto(proto.device()));
  }
  return Overlay(PresetSpec(preset, device), proto);
}

v1::JobSpec ToProto(const JobSpec& spec) {
  v1::JobSpec proto;
  FillInputs(spec, proto);
  FillSearch(spec, proto);
  *proto.mutable_play_off() = ToProto(spec.play_off);
  proto.set_play_off_score_tokens(spec.play_off_score_tokens);
  *proto.mutable_recovery() = ToProto(spec.recovery);
  proto.set_recover_yardsticks(spec.recover_yardsticks);
  proto.set_report_score_tokens(spec.report_score_tokens);
  proto.set_device(ToProto(spec.device));
  proto.set_cpu_threads(spec.cpu_threads);
  proto.set_max_attempts(spec.max_attempts);
  proto.set_priority(spec.priority);
  proto.set_weight(spec.weight);
  proto.set_max_workers(spec.max_workers);
  proto.set_minimum_device_memory(spec.minimum_device_memory);
  return proto;
}

v1::TrainSettings ToProto(const TrainSettings& settings) {
  v1::TrainSettings proto;
  proto.set_loss(ToProto(settings.loss));
  proto.set_learning_rate(settings.learning_rate);
  proto.set_weight_decay(settings.weight_decay);
  proto.set_beta1(settings.beta1);
  proto.set_beta2(settings.beta2);
  proto.set_epsilon(settings.epsilon);
  proto.set_clip_norm(settings.clip_norm);
  proto.set_warmup_steps(settings.warmup_steps);
  proto.set_cosine_to(settings.cosine_to);
  return proto;
}

v1::Recovery ToProto(const Recovery& recovery) {
  v1::Recovery proto;
  proto.set_tokens(recovery.tokens);
  *proto.mutable_train() = ToProto(recovery.train);
  proto.set_tokens_per_step(recovery.tokens_per_step);
  proto.set_start_trained(recovery.start_trained);
  return proto;
}

absl::StatusOr<TrainSettings> Overlay(const TrainSettings& base, const v1::TrainSettings& proto) {
  TrainSettings settings = base;
  ESPALIER_RETURN_IF_ERROR(AtField("train", OverlayTrain(proto, settings)));
  return settings;
}

absl::StatusOr<Recovery> Overlay(const Recovery& base, const v1::Recovery& proto) {
  Recovery recovery = base;
  ESPALIER_RETURN_IF_ERROR(AtField("recovery", OverlayRecovery(proto, recovery)));
  return recovery;
}

}  // namespace espalier::wire
