#include "common/wire/mask_conversion.h"

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/wire/enum_conversion.h"

namespace espalier::wire {

v1::Mask ToProto(const Mask& mask) {
  v1::Mask proto;
  proto.mutable_levels()->Assign(mask.levels.begin(), mask.levels.end());
  return proto;
}

absl::StatusOr<Mask> FromProto(const v1::Mask& proto) {
  Mask mask;
  for (const int level : proto.levels()) {
    if (level < 0) return absl::InvalidArgumentError(absl::StrCat("mask: negative level ", level));
    mask.levels.push_back(level);
  }
  return mask;
}

v1::Ladder ToProto(const Ladder& ladder) {
  v1::Ladder proto;
  proto.set_head_granularity(ToProto(ladder.head_granularity));
  proto.set_keep_kv_whole(ladder.keep_kv_whole);
  for (const UnitLadder& unit : ladder.units) {
    v1::UnitLadder* added = proto.add_units();
    added->set_kind(ToProto(unit.unit.kind));
    added->set_layer(unit.unit.layer);
    added->set_size(unit.size);
    added->mutable_removed()->Assign(unit.removed.begin(), unit.removed.end());
  }
  return proto;
}

namespace {

absl::Status CheckRising(const UnitLadder& unit, int index) {
  const auto refuse = [&](const char* what) {
    return absl::InvalidArgumentError(absl::StrCat("ladder.units[", index, "].removed ", what));
  };
  if (unit.removed.empty() || unit.removed.front() != 0) return refuse("does not begin with 0");
  if (unit.removed.size() == 1) return absl::OkStatus();  // pinned by a runtime profile
  if (unit.removed.back() != unit.size) return refuse("does not end with the unit's size");
  for (size_t i = 1; i < unit.removed.size(); ++i) {
    if (unit.removed[i] <= unit.removed[i - 1]) return refuse("does not rise");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Ladder> FromProto(const v1::Ladder& proto) {
  Ladder ladder;
  ESPALIER_ASSIGN_OR_RETURN(ladder.head_granularity, FromProto(proto.head_granularity()));
  ladder.keep_kv_whole = proto.keep_kv_whole();
  for (const v1::UnitLadder& unit : proto.units()) {
    UnitLadder& added = ladder.units.emplace_back();
    ESPALIER_ASSIGN_OR_RETURN(added.unit.kind, FromProto(unit.kind()));
    added.unit.layer = unit.layer();
    added.size = unit.size();
    added.removed.assign(unit.removed().begin(), unit.removed().end());
    ESPALIER_RETURN_IF_ERROR(CheckRising(added, static_cast<int>(ladder.units.size()) - 1));
  }
  return ladder;
}

v1::GivenMask ToProto(const GivenMask& mask) {
  v1::GivenMask proto;
  for (const auto& [unit, removed] : mask.removed) {
    v1::GivenMask::Removal* added = proto.add_removed();
    added->set_unit(unit);
    added->set_removed(removed);
  }
  return proto;
}

absl::StatusOr<GivenMask> FromProto(const v1::GivenMask& proto) {
  GivenMask mask;
  for (const v1::GivenMask::Removal& removal : proto.removed()) {
    if (removal.unit().empty()) return absl::InvalidArgumentError("given_mask.removed.unit is empty");
    if (removal.removed() < 0) {
      return absl::InvalidArgumentError(absl::StrCat("given_mask: ", removal.unit(), " removes ", removal.removed()));
    }
    mask.removed.emplace_back(removal.unit(), removal.removed());
  }
  return mask;
}

namespace {

v1::RopeConfig RopeToProto(const RopeConfig& rope) {
  v1::RopeConfig proto;
  proto.set_type(ToProto(rope.type));
  proto.set_theta(rope.theta);
  proto.set_factor(rope.factor);
  proto.set_low_frequency_factor(rope.low_frequency_factor);
  proto.set_high_frequency_factor(rope.high_frequency_factor);
  proto.set_original_max_positions(rope.original_max_positions);
  return proto;
}

absl::StatusOr<RopeConfig> RopeFromProto(const v1::RopeConfig& proto) {
  RopeConfig rope;
  ESPALIER_ASSIGN_OR_RETURN(rope.type, FromProto(proto.type()));
  rope.theta = proto.theta();
  rope.factor = proto.factor();
  rope.low_frequency_factor = proto.low_frequency_factor();
  rope.high_frequency_factor = proto.high_frequency_factor();
  rope.original_max_positions = proto.original_max_positions();
  return rope;
}

}  // namespace

v1::ModelConfig ToProto(const ModelConfig& config) {
  v1::ModelConfig proto;
  proto.set_family(ToProto(config.family));
  proto.set_vocabulary_size(config.vocabulary_size);
  proto.set_hidden_size(config.hidden_size);
  proto.set_num_layers(config.num_layers);
  proto.set_num_heads(config.num_heads);
  proto.set_num_kv_heads(config.num_kv_heads);
  proto.set_head_size(config.head_size);
  proto.set_ffn_width(config.ffn_width);
  proto.set_max_positions(config.max_positions);
  proto.set_sliding_window(config.sliding_window);
  proto.set_rms_norm_epsilon(config.rms_norm_epsilon);
  proto.set_qkv_bias(config.qkv_bias);
  proto.set_output_bias(config.output_bias);
  proto.set_ffn_bias(config.ffn_bias);
  proto.set_qk_norm(config.qk_norm);
  proto.set_tied_embeddings(config.tied_embeddings);
  *proto.mutable_rope() = RopeToProto(config.rope);
  proto.set_number_format(ToProto(config.number_format));
  for (const LayerShape& layer : config.layers) {
    v1::LayerShape* added = proto.add_layers();
    added->mutable_head_to_kv()->Assign(layer.head_to_kv.begin(), layer.head_to_kv.end());
    added->set_num_kv_heads(layer.num_kv_heads);
    added->set_ffn_width(layer.ffn_width);
  }
  return proto;
}

absl::StatusOr<ModelConfig> FromProto(const v1::ModelConfig& proto) {
  ModelConfig config;
  ESPALIER_ASSIGN_OR_RETURN(config.family, FromProto(proto.family()));
  config.vocabulary_size = proto.vocabulary_size();
  config.hidden_size = proto.hidden_size();
  config.num_layers = proto.num_layers();
  config.num_heads = proto.num_heads();
  config.num_kv_heads = proto.num_kv_heads();
  config.head_size = proto.head_size();
  config.ffn_width = proto.ffn_width();
  config.max_positions = proto.max_positions();
  config.sliding_window = proto.sliding_window();
  config.rms_norm_epsilon = proto.rms_norm_epsilon();
  config.qkv_bias = proto.qkv_bias();
  config.output_bias = proto.output_bias();
  config.ffn_bias = proto.ffn_bias();
  config.qk_norm = proto.qk_norm();
  config.tied_embeddings = proto.tied_embeddings();
  ESPALIER_ASSIGN_OR_RETURN(config.rope, RopeFromProto(proto.rope()));
  ESPALIER_ASSIGN_OR_RETURN(config.number_format, FromProto(proto.number_format()));
  for (const v1::LayerShape& layer : proto.layers()) {
    LayerShape& added = config.layers.emplace_back();
    added.head_to_kv.assign(layer.head_to_kv().begin(), layer.head_to_kv().end());
    added.num_kv_heads = layer.num_kv_heads();
    added.ffn_width = layer.ffn_width();
  }
  return config;
}

v1::TimeEstimate ToProto(const TimeEstimate& estimate) {
  v1::TimeEstimate proto;
  if (estimate.device_seconds.has_value()) proto.set_device_seconds(*estimate.device_seconds);
  proto.set_num_devices(estimate.num_devices);
  if (estimate.seconds.has_value()) proto.set_seconds(*estimate.seconds);
  proto.set_basis(estimate.basis);
  return proto;
}

TimeEstimate FromProto(const v1::TimeEstimate& proto) {
  TimeEstimate estimate;
  if (proto.has_device_seconds()) estimate.device_seconds = proto.device_seconds();
  estimate.num_devices = proto.num_devices();
  if (proto.has_seconds()) estimate.seconds = proto.seconds();
  estimate.basis = proto.basis();
  return estimate;
}

v1::JobInputs ToProto(const JobInputs& inputs) {
  v1::JobInputs proto;
  *proto.mutable_dense() = ToProto(inputs.dense);
  proto.set_model_digest(inputs.model_digest);
  proto.set_tokens_digest(inputs.tokens_digest);
  proto.set_num_tokens(inputs.num_tokens);
  proto.set_row_length(inputs.row_length);
  proto.set_evaluation_digest(inputs.evaluation_digest);
  proto.set_evaluation_tokens(inputs.evaluation_tokens);
  if (!inputs.first_estimate.basis.empty()) *proto.mutable_first_estimate() = ToProto(inputs.first_estimate);
  return proto;
}

absl::StatusOr<JobInputs> FromProto(const v1::JobInputs& proto) {
  JobInputs inputs;
  ESPALIER_ASSIGN_OR_RETURN(inputs.dense, FromProto(proto.dense()));
  inputs.model_digest = proto.model_digest();
  inputs.tokens_digest = proto.tokens_digest();
  inputs.num_tokens = proto.num_tokens();
  inputs.row_length = proto.row_length();
  inputs.evaluation_digest = proto.evaluation_digest();
  inputs.evaluation_tokens = proto.evaluation_tokens();
  inputs.first_estimate = FromProto(proto.first_estimate());
  return inputs;
}

}  // namespace espalier::wire
