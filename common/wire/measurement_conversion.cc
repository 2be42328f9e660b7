#include <cmath>

#include "absl/strings/str_cat.h"
#include "common/wire/job_conversion.h"

namespace espalier::wire {

v1::Measurement ToProto(const Measurement& measurement) {
  v1::Measurement proto;
  proto.set_feasible(measurement.feasible);
  proto.set_infeasible_reason(measurement.infeasible_reason);
  proto.set_fitness(measurement.fitness);
  proto.set_standard_error(measurement.standard_error);
  proto.mutable_window_fitness()->Assign(measurement.window_fitness.begin(), measurement.window_fitness.end());
  proto.set_loss(measurement.loss);
  proto.set_first_train_loss(measurement.first_train_loss);
  proto.set_last_train_loss(measurement.last_train_loss);
  proto.set_perplexity(measurement.perplexity);
  proto.set_dense_perplexity(measurement.dense_perplexity);
  proto.set_trained_tokens(measurement.trained_tokens);
  proto.set_replayed_tokens(measurement.replayed_tokens);
  proto.set_scored_tokens(measurement.scored_tokens);
  proto.set_parameters(measurement.parameters);
  proto.set_assemble_seconds(measurement.assemble_seconds);
  proto.set_train_seconds(measurement.train_seconds);
  proto.set_score_seconds(measurement.score_seconds);
  proto.set_peak_bytes(measurement.peak_bytes);
  return proto;
}

namespace {

// What led to "infeasible" may be a NaN; nothing reads those numbers, and text formats could not carry them.
void DropNonFinite(Measurement& measurement) {
  for (double* value : {&measurement.fitness, &measurement.standard_error, &measurement.loss,
                        &measurement.first_train_loss, &measurement.last_train_loss, &measurement.perplexity,
                        &measurement.dense_perplexity}) {
    if (!std::isfinite(*value)) *value = 0;
  }
  measurement.window_fitness.clear();
}

absl::Status CheckNumbers(const Measurement& measurement) {
  const auto refuse = [](const char* field, double value) {
    return absl::InvalidArgumentError(absl::StrCat("measurement.", field, ": ", value, " cannot be true"));
  };
  const struct {
    const char* field;
    double value;
  } finite[] = {{"fitness", measurement.fitness},
                {"standard_error", measurement.standard_error},
                {"loss", measurement.loss},
                {"first_train_loss", measurement.first_train_loss},
                {"last_train_loss", measurement.last_train_loss},
                {"perplexity", measurement.perplexity},
                {"dense_perplexity", measurement.dense_perplexity},
                {"assemble_seconds", measurement.assemble_seconds},
                {"train_seconds", measurement.train_seconds},
                {"score_seconds", measurement.score_seconds}};
  for (const auto& [field, value] : finite) {
    if (!std::isfinite(value)) return refuse(field, value);
  }
  for (const float value : measurement.window_fitness) {
    if (!std::isfinite(value)) return refuse("window_fitness", value);
  }
  if (measurement.standard_error < 0) return refuse("standard_error", measurement.standard_error);
  const struct {
    const char* field;
    int64_t value;
  } counts[] = {{"trained_tokens", measurement.trained_tokens},
                {"replayed_tokens", measurement.replayed_tokens},
                {"scored_tokens", measurement.scored_tokens},
                {"parameters", measurement.parameters},
                {"peak_bytes", measurement.peak_bytes}};
  for (const auto& [field, value] : counts) {
    if (value < 0) return refuse(field, static_cast<double>(value));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Measurement> FromProto(const v1::Measurement& proto) {
  Measurement measurement;
  measurement.feasible = proto.feasible();
  measurement.infeasible_reason = proto.infeasible_reason();
  measurement.fitness = proto.fitness();
  measurement.standard_error = proto.standard_error();
  measurement.window_fitness.assign(proto.window_fitness().begin(), proto.window_fitness().end());
  measurement.loss = proto.loss();
  measurement.first_train_loss = proto.first_train_loss();
  measurement.last_train_loss = proto.last_train_loss();
  measurement.perplexity = proto.perplexity();
  measurement.dense_perplexity = proto.dense_perplexity();
  measurement.trained_tokens = proto.trained_tokens();
  measurement.replayed_tokens = proto.replayed_tokens();
  measurement.scored_tokens = proto.scored_tokens();
  measurement.parameters = proto.parameters();
  measurement.assemble_seconds = proto.assemble_seconds();
  measurement.train_seconds = proto.train_seconds();
  measurement.score_seconds = proto.score_seconds();
  measurement.peak_bytes = proto.peak_bytes();
  if (!measurement.feasible) DropNonFinite(measurement);
  if (absl::Status status = CheckNumbers(measurement); !status.ok()) return status;
  return measurement;
}

v1::ExportedFile ToProto(const ExportedFile& file) {
  v1::ExportedFile proto;
  proto.set_name(file.name);
  proto.set_digest(file.digest);
  proto.set_bytes(file.bytes);
  return proto;
}

v1::KeptUnit ToProto(const KeptUnit& unit) {
  v1::KeptUnit proto;
  proto.set_unit(unit.unit);
  proto.set_removed(unit.removed);
  proto.mutable_kept_heads()->Assign(unit.kept_heads.begin(), unit.kept_heads.end());
  proto.set_kept_neurons(unit.kept_neurons);
  return proto;
}

}  // namespace espalier::wire
