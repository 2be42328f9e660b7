#include <cmath>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/wire/job_conversion.h"
#include "common/wire/task_conversion.h"

namespace espalier::wire {
namespace {

void OutcomeToProto(const BankLayerOutcome& outcome, v1::TaskOutcome& proto) {
  v1::BankLayerOutcome& layer = *proto.mutable_bank_layer();
  layer.set_artifact_digest(outcome.artifact_digest);
  layer.set_artifact_bytes(outcome.artifact_bytes);
  layer.mutable_head_order()->Assign(outcome.head_order.begin(), outcome.head_order.end());
  layer.mutable_attention_errors()->Assign(outcome.attention_errors.begin(), outcome.attention_errors.end());
  layer.mutable_ffn_errors()->Assign(outcome.ffn_errors.begin(), outcome.ffn_errors.end());
  layer.set_seconds(outcome.seconds);
}

void OutcomeToProto(const AdditiveUnitOutcome& outcome, v1::TaskOutcome& proto) {
  v1::AdditiveUnitOutcome& unit = *proto.mutable_additive_unit();
  unit.mutable_fitness_by_level()->Assign(outcome.fitness_by_level.begin(), outcome.fitness_by_level.end());
  unit.set_scored_tokens(outcome.scored_tokens);
  unit.set_seconds(outcome.seconds);
}

void OutcomeToProto(const Measurement& outcome, v1::TaskOutcome& proto) { *proto.mutable_evaluate() = ToProto(outcome); }

void OutcomeToProto(const FinishOutcome& outcome, v1::TaskOutcome& proto) {
  v1::FinishOutcome& finish = *proto.mutable_finish();
  for (const ExportedFile& file : outcome.files) *finish.add_files() = ToProto(file);
  for (const KeptUnit& unit : outcome.kept) *finish.add_kept() = ToProto(unit);
  *finish.mutable_measurement() = ToProto(outcome.measurement);
  finish.set_export_max_logit_difference(outcome.export_max_logit_difference);
}

template <typename Values>
absl::Status CheckFinite(const char* field, const Values& values) {
  for (const double value : values) {
    if (!std::isfinite(value)) return absl::InvalidArgumentError(absl::StrCat(field, ": ", value, " cannot be true"));
  }
  return absl::OkStatus();
}

absl::Status CheckDigest(const char* field, const std::string& digest) {
  const bool is_hex = digest.find_first_not_of("0123456789abcdef") == std::string::npos;
  if (is_hex && digest.size() == 64) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(field, ": no SHA-256 in hexadecimal"));
}

absl::StatusOr<TaskOutcome> OutcomeFromProto(const v1::BankLayerOutcome& proto) {
  BankLayerOutcome outcome;
  ESPALIER_RETURN_IF_ERROR(CheckDigest("bank_layer.artifact_digest", proto.artifact_digest()));
  ESPALIER_RETURN_IF_ERROR(CheckFinite("bank_layer.attention_errors", proto.attention_errors()));
  ESPALIER_RETURN_IF_ERROR(CheckFinite("bank_layer.ffn_errors", proto.ffn_errors()));
  outcome.artifact_digest = proto.artifact_digest();
  outcome.artifact_bytes = proto.artifact_bytes();
  outcome.head_order.assign(proto.head_order().begin(), proto.head_order().end());
  outcome.attention_errors.assign(proto.attention_errors().begin(), proto.attention_errors().end());
  outcome.ffn_errors.assign(proto.ffn_errors().begin(), proto.ffn_errors().end());
  outcome.seconds = proto.seconds();
  return outcome;
}

absl::StatusOr<TaskOutcome> OutcomeFromProto(const v1::AdditiveUnitOutcome& proto) {
  AdditiveUnitOutcome outcome;
  ESPALIER_RETURN_IF_ERROR(CheckFinite("additive_unit.fitness_by_level", proto.fitness_by_level()));
  outcome.fitness_by_level.assign(proto.fitness_by_level().begin(), proto.fitness_by_level().end());
  outcome.scored_tokens = proto.scored_tokens();
  outcome.seconds = proto.seconds();
  return outcome;
}

absl::StatusOr<TaskOutcome> OutcomeFromProto(const v1::FinishOutcome& proto) {
  FinishOutcome outcome;
  for (const v1::ExportedFile& file : proto.files()) {
    ESPALIER_RETURN_IF_ERROR(CheckDigest("finish.files.digest", file.digest()));
    outcome.files.push_back({file.name(), file.digest(), file.bytes()});
  }
  for (const v1::KeptUnit& unit : proto.kept()) {
    outcome.kept.push_back(
        {unit.unit(), unit.removed(), {unit.kept_heads().begin(), unit.kept_heads().end()}, unit.kept_neurons()});
  }
  ESPALIER_ASSIGN_OR_RETURN(outcome.measurement, FromProto(proto.measurement()));
  outcome.export_max_logit_difference = proto.export_max_logit_difference();
  return outcome;
}

}  // namespace

v1::TaskOutcome ToProto(const TaskOutcome& outcome) {
  v1::TaskOutcome proto;
  std::visit([&](const auto& value) { OutcomeToProto(value, proto); }, outcome);
  return proto;
}

absl::StatusOr<TaskOutcome> FromProto(const v1::TaskOutcome& proto) {
  switch (proto.outcome_case()) {
    case v1::TaskOutcome::kBankLayer:
      return OutcomeFromProto(proto.bank_layer());
    case v1::TaskOutcome::kAdditiveUnit:
      return OutcomeFromProto(proto.additive_unit());
    case v1::TaskOutcome::kEvaluate: {
      ESPALIER_ASSIGN_OR_RETURN(Measurement measurement, FromProto(proto.evaluate()));
      return measurement;
    }
    case v1::TaskOutcome::kFinish:
      return OutcomeFromProto(proto.finish());
    case v1::TaskOutcome::OUTCOME_NOT_SET:
      break;
  }
  return absl::InvalidArgumentError("outcome: a kind that this version does not know");
}

}  // namespace espalier::wire
