#include "common/domain/cost_estimate.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace espalier {
namespace {

constexpr double kForwardsOfTrainedToken = 3;

const char* DevicesOf(DeviceKind device) { return device == DeviceKind::kCuda ? "GPU" : "CPU"; }

}  // namespace

double WorkOf(double trained_tokens, double scored_tokens, double parameters) {
  return (kForwardsOfTrainedToken * trained_tokens + scored_tokens) * parameters;
}

void WorkRate::Note(const Measurement& measurement, int64_t dense_parameters) {
  if (!measurement.feasible) return;
  const int64_t parameters = measurement.parameters > 0 ? measurement.parameters : dense_parameters;
  work += WorkOf(static_cast<double>(measurement.trained_tokens + measurement.replayed_tokens),
                 static_cast<double>(measurement.scored_tokens), static_cast<double>(parameters));
  seconds += measurement.assemble_seconds + measurement.train_seconds + measurement.score_seconds;
  ++num_evaluations;
}

double SpeedOfStages(const JobSpec& resolved, int num_devices) {
  double alone = 0, together = 0;
  for (const Phase& phase : resolved.phases) {
    int members = phase.offspring;
    int64_t before = 0;
    for (const Stage& stage : phase.stages) {
      const int64_t begin = resolved.mode == TrainMode::kContinue ? before : 0;
      const double of_one = WorkOf(static_cast<double>(stage.train_tokens - begin),
                                   static_cast<double>(stage.score_tokens), phase.generations);
      const int rounds = (members + num_devices - 1) / num_devices;
      alone += of_one * members;
      together += of_one * rounds;
      before = stage.train_tokens;
      members = std::min(members, stage.survivors);
    }
  }
  return together > 0 ? alone / together : 1;
}

TimeEstimate EstimateTime(const JobSpec& resolved, const PlannedWork& planned, const WorkRate& rate, int num_devices) {
  TimeEstimate estimate;
  estimate.num_devices = num_devices;
  if (rate.work <= 0 || rate.seconds <= 0) {
    estimate.basis = absl::StrCat("unknown: no evaluation on a ", DevicesOf(resolved.device),
                                  " has been measured yet");
    return estimate;
  }
  const double seconds_of_work = rate.seconds / rate.work;
  const double candidate = static_cast<double>(planned.candidate_parameters);
  const double search = seconds_of_work * WorkOf(static_cast<double>(planned.train_tokens),
                                                 static_cast<double>(planned.score_tokens), candidate);
  const double recovery = seconds_of_work * WorkOf(static_cast<double>(planned.recovery_tokens), 0, candidate);
  const bool has_bank = rate.bank_work > 0;
  const double bank = has_bank ? rate.bank_seconds / rate.bank_work * static_cast<double>(resolved.calibration_tokens) *
                                     static_cast<double>(planned.dense_parameters)
                               : 0;
  estimate.device_seconds = search + recovery + bank;
  estimate.basis = absl::StrCat("the rate of ", rate.num_evaluations, " evaluations on ", DevicesOf(resolved.device),
                                "s of this fleet, scaled by parameters", has_bank ? "" : "; without the level bank");
  if (num_devices > 0) {
    estimate.seconds = search / SpeedOfStages(resolved, num_devices) + recovery + bank / num_devices;
  }
  return estimate;
}

}  // namespace espalier
