// What a job will take, before it runs: its planned tokens at the rate that a fleet was measured at. Pure.
//
// Work is counted in tokens through a model's forward pass times that model's parameters; a trained token is a forward
// and a backward pass, about three forwards. So a rate that was measured on one model says something of another one.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "common/domain/job.h"
#include "common/domain/measurement.h"

namespace espalier {

double WorkOf(double trained_tokens, double scored_tokens, double parameters);

// What a fleet's devices of one kind have done, and the device seconds that it took.
struct WorkRate {
  double work = 0;
  double seconds = 0;
  int64_t num_evaluations = 0;
  // Of level banks: calibration tokens times parameters.
  double bank_work = 0;
  double bank_seconds = 0;

  // `dense_parameters` stands in where the measurement does not say its own. Infeasible ones say nothing of the rate.
  void Note(const Measurement& measurement, int64_t dense_parameters);
};

struct PlannedWork {
  int64_t train_tokens = 0;  // of the search
  int64_t score_tokens = 0;
  int64_t recovery_tokens = 0;
  int64_t dense_parameters = 0;
  int64_t candidate_parameters = 0;  // of a candidate of the target's size
};

struct TimeEstimate {
  std::optional<double> device_seconds;  // nullopt: nothing has been measured on such a device
  int num_devices = 0;                   // that could take the job's tasks when this was estimated
  std::optional<double> seconds;         // with those devices for itself; nullopt: no rate, or no device
  std::string basis;                     // of the numbers, or why there are none; a sentence for people
  bool operator==(const TimeEstimate&) const = default;
};

// `resolved`: its phases say how many candidates can be evaluated side by side, so how much more devices help.
TimeEstimate EstimateTime(const JobSpec& resolved, const PlannedWork& planned, const WorkRate& rate, int num_devices);

// How many times faster than one device `num_devices` go through the stages: every stage waits for its slowest. 1 for a
// job without stages.
double SpeedOfStages(const JobSpec& resolved, int num_devices);

}  // namespace espalier
