// What is fixed for the whole life of a job, and what its level bank says once it is built.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/domain/cost.h"
#include "common/domain/job.h"
#include "common/domain/job_inputs.h"
#include "common/domain/task.h"

namespace espalier {

struct SearchPlan {
  std::string job_id;
  JobSpec spec;  // resolved
  JobInputs inputs;
  Ladder ladder;
  JobContext context;
  int64_t num_windows = 0;  // of the token file
  int64_t dense_cost = 0;
  int64_t target = 0;  // in units of the cost
  WindowKey calibration;
  int64_t calibration_windows = 0;
  std::string bank_key;
};

// The bank as the job knows it. A layer that was rebuilt and differs makes a new revision.
struct Bank {
  BankReference reference;
  int revision = 0;
  HeadOrders head_orders;
  CostTable cost{0, {}};
};

// `resolved` comes from ResolveJob.
absl::StatusOr<SearchPlan> MakeSearchPlan(const std::string& job_id, const JobSpec& resolved, const JobInputs& inputs);

// The mask's parameters, whatever the job's cost is.
int64_t ParametersOf(const SearchPlan& plan, const Bank& bank, const Mask& mask);

int64_t WindowsOf(const SearchPlan& plan, int64_t tokens);

}  // namespace espalier
